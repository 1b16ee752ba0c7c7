"""Workers and clients of many families on one port, at the same time.

A work item goes to any worker, so one instance is run by several families in turn. They agree on how tasks
are numbered as long as a workflow does not wait for events: 1.19 counts such a wait, the others don't.
"""

from __future__ import annotations

import collections
from itertools import pairwise
from pathlib import Path

from tests.sdks.app import App
from tests.sdks.families import ON_ONE_PORT
from tests.sdks.stand import Stand

NEWEST = next(family for family in ON_ONE_PORT if family.name == "python-1.19")
OLDER = tuple(family for family in ON_ONE_PORT if family is not NEWEST)
RUNS_PER_FAMILY = 4


def test_an_instance_goes_from_family_to_family(empty_stand: Stand, tmp_path: Path) -> None:
    """Old families run it in turn; when the newest comes, it takes over histories that they made."""
    empty_stand.open(*OLDER)
    older = empty_stand.apps
    gate = tmp_path / "gate"
    begun = [app.begin("relay", str(gate)) for app in older for _ in range(RUNS_PER_FAMILY)]
    instance_ids = [started.result(30) for started in begun]
    (newest,) = empty_stand.connect(NEWEST)
    gate.touch()
    for instance_id in instance_ids:
        assert newest.wait(instance_id).result == "arrived"
    assert all(turns(app) for app in older)
    taken_over = turns(newest)
    assert set(taken_over) == set(instance_ids)
    assert any(sum(turns(app)[instance_id] > 0 for app in older) > 1 for instance_id in taken_over)


def turns(app: App) -> collections.Counter[str]:
    """Return how often an application ran the function of `relay`, for each instance."""
    return collections.Counter(app.call("turns"))


def test_every_family_works_and_asks_at_the_same_time(empty_stand: Stand) -> None:
    empty_stand.open(*ON_ONE_PORT)
    apps = empty_stand.apps
    assert apps[0].run("together", 60) == sorted(app.name for app in apps)
    begun = [
        (asker, reader, workflow, asker.begin(workflow, argument), result)
        for asker, reader in pairwise([*apps, apps[0]])
        for workflow, argument, result in (
            ("sequence", 1, 4),
            ("fan_out", 40, sum(range(2, 42))),
            ("parent", 1, [4, 7, 7]),
            ("generations", 1, 5),
            ("timer", 0.5, "fired"),
        )
    ]
    for asker, reader, workflow, started, result in begun:
        state = reader.wait(started.result(30))
        assert state.result == result, (workflow, asker.name, reader.name)
