"""The sidecar ends or stands still while SDKs of every family work with it."""

from __future__ import annotations

import pytest

from tests.e2e.processes import wait_until
from tests.sdks.app import App
from tests.sdks.families import Defect, each_family
from tests.sdks.stand import Stand

FREEZE_S = 13.0
"""Longer than the pause that the sidecar takes notice of."""

SOME_CONNECTIONS = 5
"""As many as a worker may need that waits a second or so between its attempts."""


class Mixture:
    """Instances that are about different things when something happens.

    Args:
        app: Starts them and sees them end.
    """

    def __init__(self, app: App) -> None:
        self._listener = app.start("listener", 1)
        self._results = {
            app.start("timer", 2): "fired",
            app.start("slow", 2): "done",
            app.start("fan_out", 40): sum(range(2, 42)),
            app.start("parent", 1): [4, 7, 7],
            app.start("generations", 1): 5,
        }

    def check(self, app: App) -> None:
        """See all of them end as they should."""
        app.tell(self._listener, "after")
        assert app.wait(self._listener).result == ["after"]
        for instance_id, result in self._results.items():
            assert app.wait(instance_id).result == result


@each_family()
def test_a_sidecar_that_starts_again_goes_on_where_it_was(stand: Stand) -> None:
    before = stand.connections
    mixture = Mixture(stand.app)
    stand.restart_sidecar()
    mixture.check(stand.app)
    assert stand.app.run("sequence", 1) == 4
    assert stand.connections - before <= SOME_CONNECTIONS


@pytest.mark.long
@each_family()
def test_a_sidecar_that_is_killed_goes_on_where_it_was(stand: Stand) -> None:
    if Defect.LOST_WITH_THE_FIRST_STREAM in stand.family.defects:
        stand.restart_sidecar()
    for _ in range(2):
        mixture = Mixture(stand.app)
        stand.restart_sidecar(kill=True)
        mixture.check(stand.app)


@pytest.mark.long
@each_family()
def test_a_sidecar_that_stands_still_goes_on_afterwards(stand: Stand) -> None:
    before = stand.connections
    mixture = Mixture(stand.app)
    stand.freeze_sidecar(FREEZE_S)
    wait_until(
        lambda: stand.connections > before or stand.sidecar.connected_workers == 0,
        "a new stream, or at least the end of the old one",
    )
    stand.await_return()
    mixture.check(stand.app)
    assert stand.connections - before <= SOME_CONNECTIONS
