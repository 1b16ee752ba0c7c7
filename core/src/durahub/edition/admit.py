"""Compares what is installed with what the build allows. Pure: no I/O, no imports, no clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from durahub.edition.candidate import Candidate
from durahub.edition.edition import Edition
from durahub.edition.rules import Refusal, conflict, refuse_single


class Status(StrEnum):
    """Whether a candidate may be loaded."""

    ADMITTED = "admitted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a build says to one candidate.

    Attributes:
        candidate: Of whom it speaks.
        refusal: Why it may not be loaded; None if it may.
    """

    candidate: Candidate
    refusal: Refusal | None = None

    @property
    def status(self) -> Status:
        """Whether the candidate may be loaded."""
        return Status.ADMITTED if self.refusal is None else Status.REFUSED

    @property
    def explanation(self) -> str:
        """The three facts in one line: what was found, why it is refused, what would allow it."""
        if self.refusal is None:
            return f"{self.candidate.provider} provides {self.candidate.backend_type!r}"
        return f"{self.refusal.found}; {self.refusal.why}; {self.refusal.remedy}"


def admit(edition: Edition, candidates: Iterable[Candidate]) -> tuple[Verdict, ...]:
    """Return one verdict for each candidate.

    A candidate is admitted only if the edition allows its type, and for that type its distribution,
    module and version, and if it is the only one that claims the type. The order of the candidates
    makes no difference; the verdicts are ordered by type, distribution and origin.
    """
    claims: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(set(candidates)):
        claims[candidate.backend_type].append(candidate)
    return tuple(
        Verdict(candidate=candidate, refusal=_refusal(edition, candidate, rivals))
        for rivals in claims.values()
        for candidate in rivals
    )


def count_decisions(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many candidates were admitted, and how many refused for each reason that occurs."""
    counts = Counter(Status.ADMITTED if v.refusal is None else v.refusal.reason for v in verdicts)
    return {str(decision): count for decision, count in sorted(counts.items())}


def format_decisions(decisions: Mapping[str, int]) -> str:
    """Return counts in one line, such as `admitted=1 conflict=2`, in the order of the mapping."""
    return " ".join(f"{decision}={count}" for decision, count in decisions.items())


def _refusal(edition: Edition, candidate: Candidate, rivals: Sequence[Candidate]) -> Refusal | None:
    allowed = edition.find(candidate.backend_type)
    if allowed is not None and len(rivals) > 1:
        return conflict(allowed, rivals)
    return refuse_single(edition, candidate)
