"""Makes pytest know the kit: its marker, and what each test's report says about its requirement."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from durahub_conformance.levels import Outcome

REQUIREMENT = "durahub_requirement"
"""Name of the property of a report that names the requirement."""

DECLINED = "durahub_declined"
"""Name of the property of a report that says why a requirement does not apply."""

GAP = "durahub_gap"
"""Name of the property of a report that says why a requirement is a known gap."""

SUITE = "durahub_suite"
"""Name of the property that the report of an integrity check has."""

_WORST_FIRST = (
    Outcome.FAILED,
    Outcome.SKIPPED,
    Outcome.GAP,
    Outcome.DECLINED,
    Outcome.PASSED,
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that names a test's requirement."""
    config.addinivalue_line(
        "markers", "requirement(id): the requirement of the backend contract that a test proves"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note in each report, which may come from another process, which requirement it is about."""
    for item in items:
        mark = item.get_closest_marker("requirement")
        if mark is not None:
            item.user_properties.append((REQUIREMENT, mark.args[0]))
        elif item.name == "test_requirements_are_tested_as_published":
            item.user_properties.append((SUITE, ""))


class Recorder:
    """Collects what came of each requirement; to be registered as a plugin of one run.

    Attributes:
        outcomes: By requirement id, the worst of all its variants.
        details: By requirement id, why it was not passed.
        is_suite_intact: Whether the tests were seen to be those that were published.
    """

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.details: dict[str, str] = {}
        self.is_suite_intact = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test."""
        properties = dict(report.user_properties)
        if SUITE in properties and report.when == "call":
            self.is_suite_intact = report.passed
        if REQUIREMENT not in properties:
            return
        outcome = _outcome(report, properties)
        if outcome is not None:
            self._note(str(properties[REQUIREMENT]), outcome, _detail(report, properties))

    def _note(self, requirement_id: str, outcome: Outcome, detail: str) -> None:
        known = self.outcomes.get(requirement_id, Outcome.PASSED)
        worst = min(known, outcome, key=_WORST_FIRST.index)
        self.outcomes[requirement_id] = worst
        if worst is outcome and detail:
            self.details.setdefault(requirement_id, detail)


def _outcome(report: pytest.TestReport, properties: Mapping[str, object]) -> Outcome | None:
    if report.failed:
        return Outcome.FAILED
    if report.skipped and hasattr(report, "wasxfail"):
        return Outcome.GAP if GAP in properties else Outcome.FAILED
    if report.skipped:
        return Outcome.DECLINED if DECLINED in properties else Outcome.SKIPPED
    return Outcome.PASSED if report.when == "call" else None


def _detail(report: pytest.TestReport, properties: Mapping[str, object]) -> str:
    if GAP in properties and not report.failed:
        return str(properties[GAP])
    if report.failed or hasattr(report, "wasxfail"):
        crash = getattr(report.longrepr, "reprcrash", None)
        return str(crash.message if crash else report.longrepr).strip()[:2000]
    if report.skipped:
        return str(properties.get(DECLINED, report.longrepr))
    return ""
