"""The document for people, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from durahub_conformance.document import Document
from durahub_conformance.levels import Level, Outcome, level_of
from durahub_conformance.requirement import REGISTRY

_HEADINGS = {
    Outcome.FAILED: "Failed",
    Outcome.SKIPPED: "Skipped",
    Outcome.MISSING: "Missing",
    Outcome.GAP: "Known gaps",
    Outcome.DECLINED: "Declined",
}


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
    yield "| level | | passed | declined | known gaps | not passed |"
    yield "|---|---|---|---|---|---|"
    for level in Level:
        counts = Counter(
            document["requirements"][name]["outcome"]
            for name, requirement in REGISTRY.items()
            if level_of(requirement) is level and not requirement.preview
        )
        known = [counts[one] for one in (Outcome.PASSED, Outcome.DECLINED, Outcome.GAP)]
        cells = (document["levels"][level], *known, counts.total() - sum(known))
        yield f"| {level} | {' | '.join(map(str, cells))} |"


def _rest(document: Document) -> Iterator[str]:
    entries = document["requirements"]
    for outcome, heading in _HEADINGS.items():
        names = [n for n, e in entries.items() if e["outcome"] == outcome]
        yield from _section(document, heading, [n for n in names if not REGISTRY[n].preview])
    previews = [n for n, e in entries.items() if REGISTRY[n].preview]
    yield from _section(document, "Previews, which do not count yet", previews)


def _section(document: Document, heading: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"\n## {heading}\n"
    for name in names:
        entry = document["requirements"][name]
        told = f" ({entry['outcome']})" if REGISTRY[name].preview else ""
        yield f"- **{name}**{told} {REGISTRY[name].law.text} *{entry['detail'].partition(chr(10))[0]}*"
