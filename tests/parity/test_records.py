"""Histories are all that is left of what has ended."""

from __future__ import annotations

import pytest

from tests.parity.flows import FOREVER, Context, Workflow
from tests.parity.hub import Hub
from tests.parity.store import NOTHING, remains


def flow(ctx: Context):
    """Do what the letters of the input stand for, one after the other."""
    for letter in ctx.input:
        if letter == "a":
            yield ctx.activity("work")
        elif letter == "t":
            yield ctx.sleep(0.01)
        elif letter == "c":
            yield ctx.child("Child")
        else:
            yield ctx.event("go", FOREVER)


FLOWS: dict[str, Workflow] = {"Flow": flow, "Child": lambda _: None}


@pytest.mark.parametrize(
    ("work", "events", "children"),
    [
        pytest.param(work, events, children, id=line, marks=pytest.mark.parity(f"records/{line}"))
        for line, work, events, children in [
            ("empty", "", 3, 0),
            ("activity", "a", 6, 0),
            ("activities", "aa", 9, 0),
            ("timer", "t", 6, 0),
            ("timers", "tt", 9, 0),
            ("event", "e", 6, 0),
            ("child", "c", 6, 1),
            ("child-activity", "ca", 9, 1),
            ("children", "cc", 9, 2),
            ("children-activities", "ccaa", 15, 2),
        ]
    ],
)
async def test_only_histories_are_left(hub: Hub, work: str, events: int, children: int) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await sidecar.client.start("Flow", "a", work)
        if work == "e":
            await sidecar.client.send("a", "go")
        await sidecar.client.output("a")
        assert len(await sidecar.client.history("a")) == events
        below = (await sidecar.client.ids())[1:]
        assert len(below) == children
        for instance_id in below:
            assert len(await sidecar.client.history(instance_id)) == 3
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("records/repeated")
async def test_nothing_grows_with_repetition(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        sizes = set()
        for _ in range(5):
            await sidecar.client.start("Flow", "a", "eatc")
            await sidecar.client.send("a", "go")
            await sidecar.client.output("a")
            ids = await sidecar.client.ids()
            sizes.add((len(ids), sum([len(await sidecar.client.history(one)) for one in ids])))
        assert sizes == {(2, 15 + 3)}
        for _ in range(5):
            await sidecar.client.start("Flow", "b", "eatc")
            await sidecar.client.terminate("b", recursive=True)
            assert await sidecar.client.purge("b", recursive=True) == 1
            assert len(await sidecar.client.ids()) == 2
    assert vars(await remains(hub)) == NOTHING
