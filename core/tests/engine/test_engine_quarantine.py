"""Damaged instances: parked with a reason, seen by everybody, counted, removable by force, and alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
from durahub.backend import ActivityTask, Message, Timer
from durahub.engine import Engine
from durahub.engine.draft import batch_of
from durahub.engine.events import give_history
from durahub.engine.parking import ParkingKind
from durahub.errors import InstanceStalledError
from durahub.protocol import messages as pb
from durahub.protocol.frames import fork_bytes
from durahub.testing import MemoryStore
from durahub.testing.memory_rows import InstanceRow
from durahub.types import InstanceKey

from . import making
from .hub import (
    WatchedBackend,
    finished,
    get,
    history,
    purge,
    rerun,
    row,
    running,
    settled,
    start,
    store_of,
    tell,
    terminate,
    until,
)
from .making import APP
from .worker import Turn, nothing_to_do, waiting_for, working

Damage = Callable[[InstanceRow], None]

NOTHING_PARKED = dict.fromkeys(map(str, ParkingKind), 0)
GARBLED = b"\x0a\x02\xff\xff"


def flow(turn: Turn) -> list[pb.WorkflowAction]:
    """Wait for two events, or for a timer that is due in no time once the first has come."""
    heard = turn.raised("go")
    if len(heard) == 2:
        return [making.complete(heard[1])]
    return [making.sleep(1, making.NOW)] if heard else []


# What may be wrong with a row


def garble_the_inbox(found: InstanceRow) -> None:
    for number, stored in found.inbox.items():
        found.inbox[number] = replace(stored, message=Message(payload=GARBLED))


def cut_the_inbox(found: InstanceRow) -> None:
    for number, stored in found.inbox.items():
        payload = stored.message.payload[:-1]
        found.inbox[number] = replace(stored, message=Message(payload=payload))


def plant_timer(payload: bytes) -> Damage:
    def damage(found: InstanceRow) -> None:
        found.timers[7] = Timer(timer_id=7, due_at=making.NOW, payload=payload)

    return damage


def set_event(place: int, raw: bytes) -> Damage:
    def damage(found: InstanceRow) -> None:
        found.history[place] = raw

    return damage


def cut_an_event(found: InstanceRow) -> None:
    found.history[1] = found.history[1][:-3]


def lose_an_event(found: InstanceRow) -> None:
    del found.history[0]


def gain_an_event(found: InstanceRow) -> None:
    found.history.append(found.history[0])


def swap_the_first(found: InstanceRow) -> None:
    found.history[0], found.history[1] = found.history[1], found.history[0]


def count_wrongly(by: int) -> Damage:
    def damage(found: InstanceRow) -> None:
        length = found.record.history_length + by
        found.record = replace(found.record, history_length=length)

    return damage


def garble_what_was_given(found: InstanceRow) -> None:
    found.history[1] = give_history(found.history[1], b"\xff\xff")


BEGINS_WITH = "the history of instance 'bad' is damaged: event {} is {} instead of {}"
COUNTS = "should have {} events and has {}"

DAMAGES = {
    "inbox garbled": (garble_the_inbox, "DecodeError: "),
    "inbox cut": (cut_the_inbox, "a stored event batch of "),
    "timer garbled": (plant_timer(GARBLED), "DecodeError: "),
    "timer cut": (plant_timer(b"\x0a\x7f"), "a stored event batch of 2 bytes does not decode"),
    "timer empty": (plant_timer(b""), "timer 7 of instance 'bad' is damaged"),
    "another's timer": (
        plant_timer(batch_of(making.timer_fired(8))),
        "timer 7 of instance 'bad' is damaged",
    ),
    "no timer": (plant_timer(batch_of(making.raised("go"))), "timer 7 of instance 'bad'"),
    "event cut": (cut_an_event, "DecodeError: "),
    "event lost": (lose_an_event, COUNTS.format(2, 1)),
    "event gained": (gain_an_event, COUNTS.format(2, 3)),
    "counted too many": (count_wrongly(+1), COUNTS.format(3, 2)),
    "counted too few": (count_wrongly(-1), COUNTS.format(1, 2)),
    "counted none": (count_wrongly(-2), "instance 'bad' has neither history nor a start event"),
    "swapped": (swap_the_first, BEGINS_WITH.format(0, "executionStarted", "workflowStarted")),
    "no start": (set_event(1, b""), BEGINS_WITH.format(1, None, "executionStarted")),
    "no turn": (set_event(0, b""), BEGINS_WITH.format(0, None, "workflowStarted")),
    "given garbled": (garble_what_was_given, "DecodeError: "),
}


async def parked(engine: Engine, instance_id: str) -> str:
    """Return the reason, as an SDK shows it."""
    await until(lambda: row(engine, instance_id).record.parked_reason is not None)
    state = (await get(engine, instance_id)).workflowState
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_STALLED
    assert state.failureDetails.errorType == "Parked"
    return state.failureDetails.errorMessage


async def listed(engine: Engine) -> list[str]:
    return list((await engine.client.list_ids(pb.ListInstanceIDsRequest())).instanceIds)


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
async def test_damaged_instance_is_parked_seen_counted_and_removed_by_force(
    damage: Damage, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as engine:
        async with working(engine, flow):
            await start(engine, "bad")
            await start(engine, "good")
        await tell(engine, "bad", "go")
        engine._residents.clear()
        damage(row(engine, "bad"))
        async with working(engine, flow):
            assert reason in await parked(engine, "bad")
            assert await listed(engine) == ["bad", "good"]
            with pytest.raises(InstanceStalledError):
                await purge(engine, "bad")
            with pytest.raises(InstanceStalledError):
                await terminate(engine, "bad")
            for data in ("1", "2"):
                await tell(engine, "good", "go", data)
            assert (await finished(engine, "good")).output.value == "2"
            revision = row(engine, "bad").record.revision
            await settled()
            assert row(engine, "bad").record.revision == revision
            assert row(engine, "bad").owner is None
        assert engine.parked == {**NOTHING_PARKED, "damaged": 1}
        (told,) = [one for one in caplog.records if one.message == "instance parked"]
        facts = told.__dict__
        assert (facts["instance_id"], facts["kind"], facts["of_this_kind"]) == ("bad", "damaged", 1)
        assert reason in facts["reason"]
        assert told.levelno == logging.ERROR
        assert await purge(engine, "bad", force=True) == 1
        assert await listed(engine) == ["good"]
        assert not (await get(engine, "bad")).exists


async def test_resident_that_contradicts_the_record_is_read_anew() -> None:
    async with running() as engine, working(engine, flow):
        await start(engine, "bad")
        found = row(engine, "bad")
        await until(lambda: found.owner is None)
        count_wrongly(+1)(found)
        await tell(engine, "bad", "go")
        assert COUNTS.format(3, 2) in await parked(engine, "bad")


async def test_history_that_begins_with_a_stall_is_sound() -> None:
    store = MemoryStore()
    async with running(WatchedBackend(store)) as engine, asyncio.TaskGroup() as group:
        group.create_task(start(engine, "a"))
        async with working(engine, lambda _: [making.lack_version()]):
            await until(lambda: InstanceKey(APP, "a") in store.instances)
            assert await parked(engine, "a") == "Version not available: "
        assert engine.parked == {**NOTHING_PARKED, "versionNotAvailable": 1}
        async with working(engine, waiting_for(1)):
            await until(lambda: row(engine, "a").record.history_length == 3)
    async with running(WatchedBackend(store)) as engine, working(engine, waiting_for(1)):
        await tell(engine, "a", "go", "on")
        assert (await finished(engine, "a")).output.value == "on"
        assert making.kinds(await history(engine, "a"))[0] == "executionStalled"
        assert engine.parked == NOTHING_PARKED


async def test_damaged_beginning_of_a_rerun_parks() -> None:
    begins = [making.started().SerializeToString()]
    async with running() as engine, asyncio.TaskGroup() as group:
        async with working(engine, lambda _: [making.schedule(0), making.complete()]):
            await start(engine, "old")
            await finished(engine, "old")
        call = group.create_task(rerun(engine, "old", 0, "bad"))
        await until(lambda: InstanceKey(APP, "bad") in store_of(engine).instances)
        ((number, stored),) = row(engine, "bad").inbox.items()
        message = Message(payload=fork_bytes(begins))
        row(engine, "bad").inbox[number] = replace(stored, message=message)
        async with working(engine, nothing_to_do):
            await call
            reason = await parked(engine, "bad")
            assert BEGINS_WITH.format(0, "executionStarted", "workflowStarted") in reason


async def test_same_reason_again_is_not_counted_again_and_another_one_is() -> None:
    async with running() as engine:
        async with working(engine, flow):
            await start(engine, "bad")
        engine._residents.clear()
        found = row(engine, "bad")
        sound = found.history[1]
        cut_an_event(found)
        await tell(engine, "bad", "go")
        for _ in range(3):
            revision = found.record.revision
            async with working(engine, flow):
                await until(lambda revision=revision: found.record.revision > revision)
        assert engine.parked == {**NOTHING_PARKED, "damaged": 1}
        found.history[1] = sound
        swap_the_first(found)
        async with working(engine, flow):
            await until(lambda: engine.parked["damaged"] == 2)
        swap_the_first(found)
        async with working(engine, flow):
            await until(lambda: found.record.parked_reason is None)
            await tell(engine, "bad", "go", "mended")
            assert (await finished(engine, "bad")).output.value == "mended"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (making.response(making.lack_version()), "versionNotAvailable"),
        (making.response(pb.WorkflowAction(id=1)), "senselessAnswer"),
        (making.response(making.schedule(1, value="x" * 9_600)), "payloadSizeExceeded"),
    ],
    ids=["version", "nonsense", "size"],
)
async def test_each_kind_of_reason_is_counted_by_itself(
    answer: pb.WorkflowResponse, kind: str
) -> None:
    def answering(_: Turn) -> pb.WorkflowResponse:
        copy = pb.WorkflowResponse()
        copy.CopyFrom(answer)
        return copy

    async with running(max_message_bytes=10_000) as engine, working(engine, answering):
        await start(engine, "a")
        await parked(engine, "a")
        assert engine.parked == {**NOTHING_PARKED, kind: 1}


async def test_patches_that_contradict_the_history_are_counted_as_such() -> None:
    def patched(turn: Turn) -> pb.WorkflowResponse:
        answer = making.response()
        if not turn.raised():
            answer.version.patches.append("p")
        return answer

    async with running() as engine, working(engine, patched):
        await start(engine, "a")
        await tell(engine, "a", "go")
        assert "Patch mismatch" in await parked(engine, "a")
        assert engine.parked == {**NOTHING_PARKED, "patchMismatch": 1}


# Activity tasks


def garble_the_task(task: ActivityTask) -> ActivityTask:
    return replace(task, payload=GARBLED)


def describe_another(**changes: object) -> Callable[[ActivityTask], ActivityTask]:
    def damage(task: ActivityTask) -> ActivityTask:
        request = pb.ActivityRequest.FromString(task.payload)
        request.MergeFrom(pb.ActivityRequest(**changes))
        return replace(task, payload=request.SerializeToString())

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        garble_the_task,
        describe_another(taskId=5),
        describe_another(name="refund"),
        describe_another(workflowInstance=pb.WorkflowInstance(instanceId="other")),
    ],
    ids=["garbled", "number", "name", "instance"],
)
async def test_damaged_activity_task_fails_and_a_retry_of_the_workflow_succeeds(
    damage: Callable[[ActivityTask], ActivityTask],
) -> None:
    def retrying(turn: Turn) -> list[pb.WorkflowAction]:
        last = turn.resolved.get(len(turn.resolved))
        if last is not None and last.HasField("taskCompleted"):
            failure = turn.resolved[1].taskFailed.failureDetails
            assert not failure.isNonRetriable
            return [making.complete(failure.errorType)]
        return [making.schedule(len(turn.resolved) + 1)]

    async with running() as engine:
        async with working(engine, retrying, silent=True) as worker, asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
            await until(lambda: len(worker.tasks) == 1)
        await until(lambda: all(task.owner is None for task in store_of(engine).tasks.values()))
        for found in store_of(engine).tasks.values():
            found.task = damage(found.task)
        async with working(engine, retrying) as worker:
            assert (await finished(engine, "a")).output.value == "ActivityTaskCorrupt"
            assert [task.taskId for task in worker.tasks] == [2]
            assert engine.parked == NOTHING_PARKED
