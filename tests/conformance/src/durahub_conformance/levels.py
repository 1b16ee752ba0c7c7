"""Levels: what a backend is good for, computed from what its requirements came to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from durahub_conformance.requirement import REGISTRY, Requirement


class Level(StrEnum):
    """A group of requirements that one kind of user needs together."""

    CORE = "core"
    """Workflows run, and nothing of them is lost or done twice."""

    MULTI_PROCESS = "multi-process"
    """Several sidecars share a task hub; the dead lose what they owned."""

    QUERIES = "queries"
    """Clients list instances and read histories."""

    RETENTION = "retention"
    """What has ended is found and purged."""

    FAULTS = "faults"
    """Processes are killed and calls cancelled at any moment."""


class Outcome(StrEnum):
    """What came of a requirement."""

    PASSED = "passed"
    FAILED = "failed"
    DECLINED = "declined"
    """The backend declares that it lacks the capability, and the kit asks for nothing."""
    GAP = "gap"
    """It failed, as the harness says it would."""
    SKIPPED = "skipped"
    """The test was left out by somebody else, which proves nothing."""
    MISSING = "missing"
    """The test did not run."""


class Standing(StrEnum):
    """How a backend stands to a level."""

    REACHED = "reached"
    DECLINED = "declined"
    MISSED = "missed"


_TOPICS = {
    "QRY": Level.QUERIES,
    "HIS": Level.QUERIES,
    "END": Level.RETENTION,
    "PUR": Level.RETENTION,
    "HNT": Level.MULTI_PROCESS,
    "CAN": Level.FAULTS,
    "CRA": Level.FAULTS,
}


def level_of(requirement: Requirement) -> Level:
    """Return the level to which a requirement belongs."""
    topic = requirement.law.requirement_id.partition("-")[0]
    if topic == "CRA":
        return Level.FAULTS
    if "multi_process" in requirement.needs:
        return Level.MULTI_PROCESS
    return _TOPICS.get(topic, Level.CORE)


def standings(outcomes: Mapping[str, Outcome]) -> dict[Level, Standing]:
    """Return how a backend stands to every level.

    A level is reached if everything that applies has passed, and something has; it is declined if
    nothing applies or, for several processes, if the backend says that it serves only one. Previews
    count for nothing, and a known gap is not a pass.

    Args:
        outcomes: By requirement id; what is not there is missing.
    """
    return {level: _standing(level, outcomes) for level in Level}


def _standing(level: Level, outcomes: Mapping[str, Outcome]) -> Standing:
    members = [r for r in REGISTRY.values() if level_of(r) is level and not r.preview]
    found = [outcomes.get(r.law.requirement_id, Outcome.MISSING) for r in members]
    if not set(found) <= {Outcome.PASSED, Outcome.DECLINED}:
        return Standing.MISSED
    needed = [outcomes[r.law.requirement_id] for r in members if "multi_process" in r.needs]
    if level is Level.MULTI_PROCESS and Outcome.PASSED not in needed:
        return Standing.DECLINED
    return Standing.REACHED if Outcome.PASSED in found else Standing.DECLINED


def badge(reached: Mapping[Level, Standing]) -> str:
    """Return the levels in one line: what is reached, or `none` if the core is not."""
    if reached[Level.CORE] is not Standing.REACHED:
        return "none"
    return " + ".join(level for level in Level if reached[level] is Standing.REACHED)
