"""The document for people, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from durahub_conformance.document import Document
from durahub_conformance.levels import Level, Outcome, level_of
from durahub_conformance.requirement import REGISTRY


def render(document: Document) -> str:
    """Return a report: the level, the capabilities, and each requirement that was not passed."""
    return "\n".join((*_head(document), *_levels(document), *_rest(document), ""))


def _head(document: Document) -> Iterator[str]:
    backend, kit = document["backend"], document["kit"]
    yield f"# {backend['backendType']}: {document['level']}"
    yield ""
    provider = f"{backend['distribution']} {backend['version']}"
    yield f"{provider}, contract {backend['contract']}, `{backend['digest']}`."
    yield f"Tested by durahub-conformance {kit['version']} on Python {document['python']}."
    if not document["suiteIntact"]:
        yield "**The suite was not intact.**"
    yield ""
    yield "| capability | support | reason |"
    yield "|---|---|---|"
    for name, support in document["capabilities"].items():
        yield f"| {name} | {support['level']} | {support['reason']} |"
    yield ""


def _levels(document: Document) -> Iterator[str]:
    yield "| level | | passed | declined | not passed |"
    yield "|---|---|---|---|---|"
    for level in Level:
        counts = Counter(
            document["requirements"][name]["outcome"]
            for name, requirement in REGISTRY.items()
            if level_of(requirement) is level
        )
        passed, declined = counts[Outcome.PASSED], counts[Outcome.DECLINED]
        others = counts.total() - passed - declined
        yield f"| {level} | {document['levels'][level]} | {passed} | {declined} | {others} |"


def _rest(document: Document) -> Iterator[str]:
    for outcome in (Outcome.FAILED, Outcome.SKIPPED, Outcome.MISSING, Outcome.DECLINED):
        names = [n for n, e in document["requirements"].items() if e["outcome"] == outcome]
        if names:
            yield f"\n## {outcome.capitalize()}\n"
        for name in names:
            detail = document["requirements"][name]["detail"].partition("\n")[0]
            yield f"- **{name}** {REGISTRY[name].law.text} *{detail}*"
