"""What child processes wrote is part of a failed test's report."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.e2e.processes import LogBook

LOGS = pytest.StashKey[LogBook]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if (logs := item.config.stash.get(LOGS, None)) is not None:
        logs.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    logs = item.config.stash.get(LOGS, None)
    if report.failed and logs is not None:
        report.sections.extend((f"output of {name}", text) for name, text in logs.recent())
    return report


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> LogBook:
    return pytestconfig.stash.setdefault(LOGS, LogBook(tmp_path_factory.mktemp("logs")))
