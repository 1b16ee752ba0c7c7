"""JavaScript workers that drop what is too much for them, or do not say of which instance a task failed."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from tests.e2e.processes import pause, wait_until
from tests.sdks.app import App
from tests.sdks.families import FAMILIES, Defect
from tests.sdks.stand import Stand

DROPS = next(family for family in FAMILIES if family.name == "javascript-3.18")
"""It runs ten items, keeps a hundred more, even when its stream ends, and drops the rest without a word."""

MISNAMES = next(family for family in FAMILIES if Defect.LOSES_FAILURES in family.defects)
MANY = 200
ALL_S = 120


def flood(app: App, seconds: float) -> list[Future[Any]]:
    return [app.begin("slow", seconds) for _ in range(MANY)]


def await_all(app: App, begun: list[Future[Any]]) -> None:
    for started in begun:
        assert app.wait(started.result(ALL_S), ALL_S).result == "done"
    assert "dropping work item" not in app.output


@pytest.mark.long
def test_no_work_item_is_dropped(empty_stand: Stand) -> None:
    empty_stand.open(DROPS)
    await_all(empty_stand.app, flood(empty_stand.app, 0.3))


@pytest.mark.long
def test_no_work_item_is_dropped_by_a_worker_that_is_still_busy_when_it_connects_again(
    empty_stand: Stand,
) -> None:
    empty_stand.open(DROPS)
    app = empty_stand.app
    begun = flood(app, 1)
    for started in begun:
        started.result(ALL_S)
    for _ in range(2):
        empty_stand.restart_sidecar()
        pause(1)
    await_all(app, begun)


def test_a_failure_of_nobody_in_particular_is_warned_of(empty_stand: Stand) -> None:
    empty_stand.open(MISNAMES)
    app = empty_stand.app
    instance_id = app.start("failing", 1)
    wait_until(
        lambda: (
            "level=warning" in empty_stand.sidecar.output
            and "names no instance" in empty_stand.sidecar.output
        ),
        "a warning",
    )
    assert app.status(instance_id) == "RUNNING"
    app.call("terminate", instance_id=instance_id, output="given up")
    assert app.wait(instance_id).status == "TERMINATED"
    assert app.run("sequence", 1) == 4
