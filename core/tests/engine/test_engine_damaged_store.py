"""A store that finds damage, wherever the engine meets it: the engine lives, and so does all that is sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import (
    NO_ROOM,
    Applied,
    CommitTurn,
    Deliver,
    InstanceClaims,
    Operation,
    ParkInstance,
    ReleaseInstance,
    Room,
)
from durahub.engine import Engine
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore
from durahub.types import InstanceKey, RuntimeStatus

from . import making
from .hub import (
    FOR_EVER,
    WatchedBackend,
    finished,
    get,
    nothing,
    row,
    running,
    start,
    status,
    store_of,
    tell,
    until,
)
from .making import APP
from .worker import Turn, fan_out, nothing_to_do, sequence, waiting_for, working

BAD = InstanceKey(APP, "bad")

FLOWS = {
    "Flow": waiting_for(1),
    "Line": sequence(3),
    "Wide": fan_out(3),
    "Nothing": nothing_to_do,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for a moment only, and do not spin."""
    monkeypatch.setattr("random.uniform", lambda *_: 0.01)


def damage() -> BackendCorruptionError:
    return BackendCorruptionError("page 7 is damaged")


class Meeting:
    """A step that meets damage in one method as long as a condition holds."""

    def __init__(self, method: str, condition: Callable[[], bool] = lambda: True) -> None:
        self.method = method
        self.condition = condition
        self.met = 0

    async def __call__(self, name: str) -> None:
        await asyncio.sleep(0)
        if name == self.method and self.condition():
            self.met += 1
            raise damage()


async def whole_lives(engine: Engine, prefix: str) -> None:
    """Let instances of each kind begin, go on and end."""
    for kind in ("Line", "Wide", "Nothing"):
        await start(engine, f"{prefix}{kind}", kind)
    await start(engine, f"{prefix}Flow")
    await tell(engine, f"{prefix}Flow", "go", "x")
    for kind in ("Flow", "Line", "Wide", "Nothing"):
        assert await finished(engine, f"{prefix}{kind}")
    assert await status(engine, f"{prefix}Flow") == "COMPLETED"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["claim_instances", "claim_activities"])
async def test_damage_met_by_claims_holds_up_no_write_and_passes(method: str, when: str) -> None:
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, FLOWS):
        await start(engine, "early")
        meeting = Meeting(method)
        setattr(backend, when, meeting)
        await until(lambda: meeting.met > 0)
        assert not engine.is_ready
        await whole_lives(engine, "during ")
        assert (await get(engine, "early")).exists
        setattr(backend, when, nothing)
        await until(lambda: engine.is_ready)
        await tell(engine, "early", "go", "x")
        await finished(engine, "early")
        await whole_lives(engine, "after ")
        await until(lambda: all(one.owner is None for one in store_of(engine).instances.values()))


@pytest.mark.parametrize("method", ["claim_instances", "release_except"])
async def test_damage_is_met_less_and_less_often(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _, bound: bound)
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, FLOWS):
        await start(engine, "a")
        backend.before = Meeting(method)
        backend.calls.clear()
        engine._lane.doubt()
        for number in range(50):
            await tell(engine, "a", f"other {number}")
            engine._lane.look()
            await asyncio.sleep(0.01)
        assert backend.calls["claim_instances"] < 8
        assert backend.calls["release_except"] < 8
        backend.before = nothing


class Once:
    """A step that meets damage in the next writes, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def __call__(self, name: str) -> None:
        if name == "apply" and self.times:
            self.times -= 1
            raise damage()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_write_that_meets_damage_once_is_done_once_and_what_it_made_due_is_found(
    when: str,
) -> None:
    """Whatever the store has done all the same, and has not said."""
    backend = WatchedBackend()
    async with running(backend, safety_poll=FOR_EVER) as engine, working(engine, FLOWS):
        await start(engine, "a")
        await until(lambda: row(engine, "a").owner is None)
        setattr(backend, when, Once(1))
        await tell(engine, "a", "go", "x")
        assert (await finished(engine, "a")).output.value == "x"
        setattr(backend, when, Once(1))
        await start(engine, "b", "Wide")
        assert (await finished(engine, "b")).output.value == "0,1,2"


class HalfWay(WatchedBackend):
    """Claims what is sound, and then meets damage and says nothing of it."""

    is_damaged = False

    async def claim_instances(self, *args: Any) -> InstanceClaims:
        claims: InstanceClaims = await super().claim_instances(*args)
        if self.is_damaged and claims.instances:
            self.is_damaged = False
            raise damage()
        return claims


async def test_what_was_claimed_before_damage_was_met_is_given_back() -> None:
    backend = HalfWay()
    async with running(backend, safety_poll=FOR_EVER) as engine:
        async with working(engine, FLOWS):
            await start(engine, "a")
        await tell(engine, "a", "go", "x")
        backend.is_damaged = True
        async with working(engine, FLOWS):
            assert (await finished(engine, "a")).output.value == "x"
        assert not backend.is_damaged


class Touchy(WatchedBackend):
    """Meets damage whenever a write would claim the instance `bad`.

    Attributes:
        refused: Kinds of operations that it can't carry out on that instance either.
        is_damaged: Whether there is any damage.
        parks: Whether a claim of what is due parks that instance, instead of meeting the damage too.
        met: How often it met damage.
    """

    def __init__(self, *refused: type[Operation], parks: bool = True) -> None:
        super().__init__()
        self.refused = refused
        self.is_damaged = True
        self.parks = parks
        self.met = 0

    async def apply(self, session_id: Any, operations: Any, room: Room = NO_ROOM) -> Applied:
        for operation in operations:
            touched = [operation, *getattr(operation, "outgoing", ())]
            concerned = [one for one in touched if getattr(one, "key", None) == BAD]
            if any(isinstance(one, self.refused) or room.instances for one in concerned):
                self._meet()
        return await super().apply(session_id, operations, room)

    async def claim_instances(self, *args: Any) -> InstanceClaims:
        found = self.store.instances.get(BAD)
        if self.is_damaged and not self.refused and found and found.is_due(self._now()):
            if not self.parks:
                self._meet()
            found.record = replace(
                found.record, status=RuntimeStatus.STALLED, parked_reason="damaged"
            )
            found.woken_at = None
            self.store.reschedule(found)
        claims: InstanceClaims = await super().claim_instances(*args)
        return claims

    def _meet(self) -> None:
        if self.is_damaged:
            self.met += 1
            raise damage()


def sender(turn: Turn) -> list[pb.WorkflowAction]:
    if turn.raised("done"):
        return [making.complete("sent")]
    return [making.send(0, "bad", "go"), making.send(1, turn.id, "done")]


@asynccontextmanager
async def touchy(backend: Touchy) -> AsyncIterator[Engine]:
    """Run an engine with an instance `bad` that was sound so far."""
    backend.is_damaged = False
    flows = {**FLOWS, "Sender": sender}
    async with running(backend) as engine, working(engine, flows):
        await start(engine, "bad")
        await until(lambda: row(engine, "bad").owner is None)
        backend.is_damaged = True
        yield engine
        assert row(engine, "bad").record.history_length == 2
        backend.is_damaged = False


async def test_claim_that_meets_damage_fails_no_write_that_it_goes_with() -> None:
    """Neither what is told to the damaged instance, nor the turn of another that tells it."""
    backend = Touchy()
    async with touchy(backend) as engine:
        names = [f"sender {number}" for number in range(3)]
        await asyncio.gather(
            *(start(engine, name, "Sender") for name in names),
            *(tell(engine, "bad", "go") for _ in range(3)),
            whole_lives(engine, ""),
        )
        for name in names:
            assert (await finished(engine, name)).output.value == "sent"
        assert len(row(engine, "bad").inbox) == 6
        assert backend.met > 0
        assert engine.is_ready


async def test_store_that_does_not_park_what_is_damaged_still_takes_writes_and_serves() -> None:
    backend = Touchy(parks=False)
    async with touchy(backend) as engine:
        await start(engine, "good")
        await asyncio.gather(
            *(tell(engine, "bad", "go") for _ in range(3)), whole_lives(engine, "")
        )
        await until(lambda: not engine.is_ready)
        await tell(engine, "good", "go", "x")
        assert (await finished(engine, "good")).output.value == "x"
        assert len(row(engine, "bad").inbox) == 3


@pytest.mark.parametrize(
    "refused",
    [
        (CommitTurn,),
        (ParkInstance,),
        (CommitTurn, ReleaseInstance),
        (ParkInstance, ReleaseInstance),
    ],
    ids=lambda refused: " ".join(kind.__name__ for kind in refused),
)
async def test_writes_that_meet_damage_fail_alone(refused: tuple[type[Operation], ...]) -> None:
    backend = Touchy(*refused)

    def bad(_: Turn) -> list[pb.WorkflowAction]:
        return [pb.WorkflowAction(id=1)] if ParkInstance in refused else [making.complete()]

    async with running(backend) as engine, working(engine, {**FLOWS, "Bad": bad}) as worker:
        creation = asyncio.ensure_future(start(engine, "bad", "Bad"))
        await until(lambda: backend.met > 3)
        await whole_lives(engine, "")
        expected = "PENDING" if ParkInstance in refused else "STALLED"
        assert row(engine, "bad").record.status.name == expected
        backend.refused = (Deliver,)
        await until(lambda: row(engine, "bad").record.status.name == "STALLED")
        creation.cancel()
        assert len(worker.requests) < 200


async def test_damage_met_when_giving_back_what_is_unknown_is_survived() -> None:
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, FLOWS):
        await start(engine, "early")
        meeting = backend.before = Meeting("release_except")
        engine._lane.doubt()
        await until(lambda: meeting.met > 3)
        assert not engine.is_ready
        await tell(engine, "early", "go", "x")
        assert (await get(engine, "early")).exists
        backend.before = nothing
        await finished(engine, "early")
        await until(lambda: engine.is_ready)


@pytest.mark.parametrize("method", ["heartbeat", "list_instances", "get"])
async def test_damage_met_in_the_background_is_survived(method: str) -> None:
    backend = WatchedBackend()
    async with running(backend, session_time_to_live=timedelta(seconds=0.3)) as engine:
        async with working(engine, FLOWS):
            await start(engine, "early")
            waiting = asyncio.ensure_future(finished(engine, "early"))
            await asyncio.sleep(0)
        meeting = backend.before = Meeting(method)
        async with working(engine, FLOWS):
            await until(lambda: meeting.met > 0)
            backend.before = nothing
            await whole_lives(engine, "later ")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


class Torn(WatchedBackend):
    """Can't read one instance."""

    unreadable: InstanceKey | None = None

    async def get(self, keys: Any, **options: Any) -> Any:
        if self.unreadable in keys:
            raise damage()
        return await super().get(keys, **options)


async def test_wait_for_an_unreadable_instance_ends_and_others_go_on() -> None:
    store = MemoryStore()
    one, two = Torn(store), WatchedBackend(store)
    async with running(one) as mine, running(two) as other, working(other, FLOWS):
        await start(other, "bad")
        await start(other, "good")
        waits = [asyncio.ensure_future(finished(mine, name)) for name in ("bad", "good")]
        await until(lambda: len(mine._watchers._waiting) == 2)
        one.unreadable = BAD
        with pytest.raises(BackendCorruptionError):
            await waits[0]
        await tell(other, "good", "go", "x")
        assert (await waits[1]).output.value == "x"


async def test_stalled_instances_are_woken_beside_one_that_can_not_be() -> None:
    backend = WatchedBackend()
    async with running(backend) as engine:
        async with working(engine, lambda _: [making.lack_version()]):
            for name in ("bad", "good"):
                await start(engine, name)

        async def refuse(name: str) -> None:
            if name == "apply" and any(getattr(op, "key", 0) == BAD for op in backend.batches[-1]):
                raise damage()

        backend.before = refuse
        async with working(engine, nothing_to_do):
            assert (await finished(engine, "good")).output.value == "done"
            assert await status(engine, "bad") == "STALLED"
        backend.before = nothing


async def test_engine_stops_although_its_session_can_not_be_ended() -> None:
    class Stuck(WatchedBackend):
        async def unregister(self, *_: Any) -> None:
            raise damage()

    async with running(Stuck()) as engine, working(engine, FLOWS):
        await start(engine, "a")
    assert not engine.is_ready
