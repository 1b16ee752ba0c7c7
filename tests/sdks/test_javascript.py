"""The JavaScript worker runs ten items and keeps a hundred; it drops more than that and tells nobody."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from tests.e2e.processes import pause, wait_until
from tests.sdks.app import App
from tests.sdks.families import FAMILIES
from tests.sdks.stand import Stand

pytestmark = pytest.mark.long

LIMITED = next(family for family in FAMILIES if family.name == "javascript-3.18")
MANY = 200
ALL_S = 120


def flood(app: App, seconds: float) -> list[Future[Any]]:
    return [app.begin("slow", seconds) for _ in range(MANY)]


def await_all(app: App, begun: list[Future[Any]]) -> None:
    for started in begun:
        assert app.wait(started.result(ALL_S), ALL_S).result == "done"
    assert "dropping work item" not in app.output


def test_no_work_item_is_dropped(empty_stand: Stand) -> None:
    empty_stand.open(LIMITED)
    await_all(empty_stand.app, flood(empty_stand.app, 0.3))


def test_no_work_item_is_dropped_by_a_worker_that_is_still_busy_when_it_connects_again(
    empty_stand: Stand,
) -> None:
    empty_stand.open(LIMITED)
    app = empty_stand.app
    begun = flood(app, 1)
    for started in begun:
        started.result(ALL_S)
    for _ in range(2):
        empty_stand.restart_sidecar()
        pause(1)
    await_all(app, begun)
