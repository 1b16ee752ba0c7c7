"""`conformance.json`: what was tested and what came of it, and whether such a file holds together."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from durahub.backend import CONTRACT_VERSION, Capabilities, Support, SupportLevel
from durahub.edition import take_fingerprint

from durahub_conformance.levels import Level, Outcome, Standing, badge, standings
from durahub_conformance.pytest_plugin import Recorder
from durahub_conformance.requirement import REGISTRY
from durahub_conformance.subject import Subject, UsageError, find_candidate

FORMAT = 1

Document = dict[str, Any]


def laws_digest() -> str:
    """Return what stands for the ids and laws of this kit, so that two kits can't be confused."""
    laws = sorted((r.law, r.needs, r.without, r.preview) for r in REGISTRY.values())
    return f"sha256:{hashlib.sha256(json.dumps(laws).encode()).hexdigest()}"


def make_document(
    subject: Subject, capabilities: Capabilities, recorder: Recorder, settings: Mapping[str, str]
) -> Document:
    """Return the document of one run.

    Args:
        subject: What was tested.
        capabilities: What it declares.
        recorder: What came of it.
        settings: What the harness was given; only the names are written, values may be secret.
    """
    outcomes = {name: recorder.outcomes.get(name, Outcome.MISSING) for name in sorted(REGISTRY)}
    reached = standings(outcomes)
    document = {
        "format": FORMAT,
        "kit": {"version": version("durahub-conformance"), "laws": laws_digest()},
        "core": {"version": version("durahub-core"), "contract": str(CONTRACT_VERSION)},
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "backend": {
            "backendType": subject.backend_type,
            "distribution": subject.distribution,
            "version": subject.version,
            "digest": subject.digest,
            "contract": str(subject.contract),
            "harness": subject.harness,
            "settings": sorted(settings),
        },
        "capabilities": {
            name: {"level": str(support.level), "reason": support.reason}
            for name, support in _by_name(capabilities).items()
        },
        "suiteIntact": recorder.is_suite_intact,
        "requirements": {
            name: {"outcome": outcome, "detail": recorder.details.get(name, "")}
            for name, outcome in outcomes.items()
        },
        "levels": {level: reached[level] for level in Level},
        "level": badge(reached),
    }
    # Through JSON, so that what is written and what is read are the same.
    made: Document = json.loads(json.dumps(document))
    return {**made, "checksum": checksum(made)}


def checksum(document: Document) -> str:
    """Return the digest of a document without its checksum."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def faults_of(document: Document, *, required: tuple[Level, ...] = (Level.CORE,)) -> list[str]:
    """Return what is wrong with a document, computed anew; nothing if it may be believed.

    It is checked against this kit and, if the distribution is installed here, against its files.

    Args:
        document: As read.
        required: Levels that have to be reached.
    """
    if document.get("format") != FORMAT:
        return [f"format {document.get('format')!r} is not {FORMAT}, which this kit reads"]
    try:
        return [*_faults(document, required)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"it is not a document of this kit: {type(error).__name__}: {error}"]


def _faults(document: Document, required: tuple[Level, ...]) -> Iterator[str]:
    if document["checksum"] != checksum(document):
        yield "the checksum does not fit: it was changed after it was written"
    kit = document["kit"]
    if kit["laws"] != laws_digest():
        own = version("durahub-conformance")
        yield f"it was made by kit {kit['version']}, whose requirements are not those of this one, {own}"
    if document["suiteIntact"] is not True:
        yield "the suite was not seen to be intact: tests of it were overridden, removed or not run"
    yield from _requirement_faults(document)
    yield from _level_faults(document, required)
    yield from _subject_faults(document["backend"])


def _requirement_faults(document: Document) -> Iterator[str]:
    outcomes = _outcomes(document)
    if Outcome.PASSED not in outcomes.values():
        yield "no requirement was passed at all"
    missing = sorted(set(REGISTRY) - set(outcomes))
    unknown = sorted(set(outcomes) - set(REGISTRY))
    if missing or unknown:
        yield f"requirements are missing or unknown: {', '.join(missing + unknown)}"
    capabilities = _capabilities(document)
    for name in sorted(set(REGISTRY) & set(outcomes)):
        applies = REGISTRY[name].obstacle(capabilities) is None
        if applies == (outcomes[name] is Outcome.DECLINED):
            yield f"{name} is {outcomes[name]}, and by the capabilities it " + (
                "applies" if applies else "does not apply"
            )
        elif REGISTRY[name].preview and outcomes[name] is Outcome.FAILED:
            continue
        # What a known gap costs is its level.
        elif outcomes[name] not in {Outcome.PASSED, Outcome.DECLINED, Outcome.GAP}:
            yield f"{name} is {outcomes[name]}: {REGISTRY[name].law.text}"


def _level_faults(document: Document, required: tuple[Level, ...]) -> Iterator[str]:
    reached = standings(_outcomes(document))
    if document["levels"] != {str(level): str(reached[level]) for level in Level}:
        yield "its levels do not follow from its requirements"
    if document["level"] != badge(reached):
        yield f"its level should be {badge(reached)!r}"
    for level in required:
        if reached[level] is not Standing.REACHED:
            yield f"level {level} is {reached[level]}"


def _subject_faults(tested: Mapping[str, str]) -> Iterator[str]:
    if not tested["digest"]:
        yield "an editable install was tested, so nobody can tell which files; test a wheel"
        return
    try:
        candidate = find_candidate(tested["backendType"])
    except UsageError:
        return
    here = (candidate.distribution, candidate.version, take_fingerprint(candidate).digest)
    if here != (tested["distribution"], tested["version"], tested["digest"]):
        yield f"{candidate.provider}, which is installed here, is not what was tested"


def _outcomes(document: Document) -> dict[str, Outcome]:
    return {name: Outcome(entry["outcome"]) for name, entry in document["requirements"].items()}


def _capabilities(document: Document) -> Capabilities:
    return Capabilities(
        **{
            name: Support(SupportLevel(entry["level"]), entry["reason"])
            for name, entry in document["capabilities"].items()
        }
    )


def _by_name(capabilities: Capabilities) -> dict[str, Support]:
    return {name: getattr(capabilities, name) for name in Capabilities.__slots__}
