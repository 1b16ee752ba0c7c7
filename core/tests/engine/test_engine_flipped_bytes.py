"""Bytes flipped anywhere in what a store holds of some instances: the engine lives, and all others finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from durahub.protocol import messages as pb
from durahub.testing import MemoryStore
from durahub.testing.memory_rows import InstanceRow, TaskRow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import making
from .hub import (
    WatchedBackend,
    finished,
    get,
    purge,
    row,
    running,
    start,
    tell,
    until,
)
from .propagating import LINEAGE, sharing
from .worker import Turn, Workflow, fan_out, waiting_for, working

_COMPLETED = pb.ORCHESTRATION_STATUS_COMPLETED


def napping(turn: Turn) -> list[pb.WorkflowAction]:
    if turn.resolved:
        return [making.complete("awake")]
    return [making.sleep(1, making.FOREVER)]


def parent(turn: Turn) -> list[pb.WorkflowAction]:
    if turn.resolved:
        (event,) = turn.resolved.values()
        return [making.complete(event.childWorkflowInstanceCompleted.result.value)]
    return [sharing(making.child(1, f"{turn.id} kid", "Waiting"), LINEAGE)]


FLOWS: dict[str, Workflow] = {
    "Waiting": waiting_for(2),
    "Wide": fan_out(2),
    "Napping": napping,
    "Parent": parent,
}
OUTPUTS = {"Waiting": "1,2", "Wide": "0,1", "Napping": "awake", "Parent": "1,2"}
LISTENERS = ("{} Waiting", "{} Parent kid")


class Guarded(dict[str, Workflow]):
    """The same workflows, which fail where damage leads them astray, as with an SDK; any name is one."""

    def __missing__(self, name: str) -> Workflow:
        return partial(guarded, FLOWS.get(name))


def guarded(flow: Workflow | None, turn: Turn) -> Sequence[pb.WorkflowAction] | pb.WorkflowResponse:
    try:
        return (flow or waiting_for(0))(turn)
    except Exception:  # noqa: BLE001 - whatever damage leads to
        return [making.complete("astray", status=pb.ORCHESTRATION_STATUS_FAILED)]


async def never(_: pb.ActivityRequest) -> str | None:
    await asyncio.Event().wait()
    return None


async def under_way(store: MemoryStore) -> None:
    """Bring instances of every kind half-way: `good` ones and `bad` ones."""
    names = [f"{name} {kind}" for name in ("good", "bad") for kind in FLOWS]
    listeners = [listener.format(name) for name in ("good", "bad") for listener in LISTENERS]
    async with running(WatchedBackend(store)) as engine:
        async with working(engine, FLOWS, never):
            for name in names:
                await start(engine, name, name.split()[1])
            await until(lambda: len(store.instances) == len(names) + 2)
            for listener in listeners:
                await tell(engine, listener, "go", "1")
            heard = [row(engine, listener) for listener in listeners]
            await until(lambda: [one.record.history_length for one in heard] == [4] * len(heard))
            await until(lambda: len(store.tasks) == 4)
        for listener in listeners:
            await tell(engine, listener, "go", "2")
    for found in store.instances.values():
        for number, timer in found.timers.items():
            found.timers[number] = replace(timer, due_at=making.NOW)
        store.reschedule(found)


Put = Callable[[bytes], None]


def cells(store: MemoryStore) -> Iterator[tuple[bytes, Put]]:
    """Yield every byte string that is stored of the bad instances, with what replaces it."""
    for key, found in store.instances.items():
        if not key.instance_id.startswith("bad"):
            continue
        for place, raw in enumerate(found.history):
            yield raw, partial(found.history.__setitem__, place)
        for number, stored in found.inbox.items():
            yield stored.message.payload, partial(put_message, found, number)
        for number, timer in found.timers.items():
            yield timer.payload, partial(put_timer, found, number)
        for task in found.tasks:
            yield store.tasks[task].task.payload, partial(put_task, store.tasks[task])


def put_message(found: InstanceRow, number: int, raw: bytes) -> None:
    stored = found.inbox[number]
    found.inbox[number] = replace(stored, message=replace(stored.message, payload=raw))


def put_timer(found: InstanceRow, number: int, raw: bytes) -> None:
    found.timers[number] = replace(found.timers[number], payload=raw)


def put_task(found: TaskRow, raw: bytes) -> None:
    found.task = replace(found.task, payload=raw)


@dataclass(frozen=True)
class Harm:
    """What is done to one stored byte string.

    Attributes:
        cell: Which, modulo how many there are.
        place: Which byte, modulo its length.
        mask: The bits to flip; 0 cuts it off there.
    """

    cell: int
    place: int
    mask: int

    def do(self, found: list[tuple[bytes, Put]]) -> None:
        raw, put = found[self.cell % len(found)]
        place = self.place % (len(raw) or 1)
        flipped = bytes(byte ^ self.mask for byte in raw[place : place + 1])
        put(raw[:place] + (flipped + raw[place + 1 :] if self.mask else b""))


harms = st.lists(
    st.builds(Harm, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


async def live_on(store: MemoryStore) -> None:
    """Check that all good instances finish, and that the bad ones can be seen and removed."""
    async with running(WatchedBackend(store)) as engine:
        async with working(engine, Guarded()):
            for kind, output in OUTPUTS.items():
                state = await finished(engine, f"good {kind}")
                assert (state.workflowStatus, state.output.value) == (_COMPLETED, output)
            await until(lambda: all(one.owner is None for one in store.tasks.values()))
            await until(lambda: all(one.owner is None for one in store.instances.values()))
        assert engine.is_ready
        stalled = [one for one in store.instances.values() if one.record.parked_reason]
        assert engine.parked == {**dict.fromkeys(engine.parked, 0), "damaged": len(stalled)}
        for key in list(store.instances):
            assert (await get(engine, key.instance_id)).exists
            await purge(engine, key.instance_id, force=True)
        assert not store.instances
        assert not store.tasks


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(harms)
def test_flipped_bytes_hurt_nobody_else(done: list[Harm]) -> None:
    async def run() -> None:
        store = MemoryStore()
        await under_way(store)
        found = list(cells(store))
        for harm in done:
            harm.do(found)
        await live_on(store)

    asyncio.run(run())
