"""The sidecar is killed or stands still while SDKs of every family work with it."""

from __future__ import annotations

import pytest

from tests.e2e.processes import wait_until
from tests.sdks.families import Defect, each_family
from tests.sdks.mixture import Mixture
from tests.sdks.stand import SOME_CONNECTIONS, Stand

pytestmark = pytest.mark.long

FREEZE_S = 13.0
"""Longer than the pause that the sidecar takes notice of."""


@each_family()
def test_a_sidecar_that_is_killed_goes_on_where_it_was(stand: Stand) -> None:
    if Defect.LOST_WITH_THE_FIRST_STREAM in stand.family.defects:
        stand.restart_sidecar()
    for _ in range(2):
        mixture = Mixture(stand.app)
        stand.restart_sidecar(kill=True)
        mixture.check(stand.app)


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
