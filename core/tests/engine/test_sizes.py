"""Names that no store could index are refused where they come in, and nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from durahub.engine import Engine
from durahub.engine.decision import TurnOutcome
from durahub.engine.sizes import MAX_ID_BYTES, MAX_NAME_BYTES, MAX_TAGS_BYTES
from durahub.errors import InvalidRequestError
from durahub.protocol import messages as pb

from . import making
from .hub import finished, running
from .simulation import Run, decided
from .worker import nothing_to_do, working

LONG_ID = "\u00e9" * (MAX_ID_BYTES // 2) + "x"
FITTING_ID = "\u00e9" * (MAX_ID_BYTES // 2)
LONG_NAME = "x" * (MAX_NAME_BYTES + 1)
LONG_TAGS = {"k": "v" * MAX_TAGS_BYTES}
ELSEWHERE = pb.TaskRouter(targetAppID="a" * (MAX_ID_BYTES + 1))
ENOUGH_TAGS = {"k": "v" * (MAX_TAGS_BYTES - 1)}

Call = Callable[[Engine], Awaitable[object]]

TOO_LONG: list[Call] = [
    lambda e: e.client.start(pb.CreateInstanceRequest(instanceId=LONG_ID, name="W")),
    lambda e: e.client.start(pb.CreateInstanceRequest(instanceId="a", name=LONG_NAME)),
    lambda e: e.client.start(pb.CreateInstanceRequest(instanceId="a", name="W", tags=LONG_TAGS)),
    lambda e: e.client.get(pb.GetInstanceRequest(instanceId=LONG_ID)),
    lambda e: e.client.wait_for_start(pb.GetInstanceRequest(instanceId=LONG_ID)),
    lambda e: e.client.wait_for_completion(pb.GetInstanceRequest(instanceId=LONG_ID)),
    lambda e: e.client.history(pb.GetInstanceHistoryRequest(instanceId=LONG_ID)),
    lambda e: e.client.raise_event(pb.RaiseEventRequest(instanceId=LONG_ID, name="e")),
    lambda e: e.client.raise_event(pb.RaiseEventRequest(instanceId="a", name=LONG_NAME)),
    lambda e: e.client.terminate(pb.TerminateRequest(instanceId=LONG_ID)),
    lambda e: e.client.suspend(pb.SuspendRequest(instanceId=LONG_ID)),
    lambda e: e.client.resume(pb.ResumeRequest(instanceId=LONG_ID)),
    lambda e: e.client.get(pb.GetInstanceRequest(instanceId="a", router=ELSEWHERE)),
    lambda e: e.client.purge(pb.PurgeInstancesRequest(instanceId=LONG_ID)),
    *(
        lambda e, field=field: e.client.rerun(
            pb.RerunWorkflowFromEventRequest(**{"sourceInstanceID": "a", field: LONG_ID})
        )
        for field in ("sourceInstanceID", "newInstanceID", "newChildWorkflowInstanceID")
    ),
]


async def test_every_request_refuses_what_is_too_long() -> None:
    async with running() as engine:
        for call in TOO_LONG:
            with pytest.raises(InvalidRequestError, match=r"^too long: \d+ bytes where ") as caught:
                await call(engine)
            assert len(str(caught.value)) < 100


async def test_what_is_just_not_too_long_works() -> None:
    async with running() as engine, working(engine, {"W": nothing_to_do}):
        request = pb.CreateInstanceRequest(instanceId=FITTING_ID, name="W", tags=ENOUGH_TAGS)
        await engine.client.start(request)
        assert (await finished(engine, FITTING_ID)).tags == ENOUGH_TAGS


def _first_turn(*actions: pb.WorkflowAction) -> TurnOutcome:
    run = Run()
    run.deliver(making.started("in"))
    return decided(run, *actions)


def test_a_child_that_is_too_long_fails_for_its_parent() -> None:
    outcome = _first_turn(making.child(1, LONG_ID), making.child(2, "c", LONG_NAME))
    assert outcome.commit.children == ()
    failures = [
        event.childWorkflowInstanceFailed
        for delivery in outcome.commit.outgoing
        for message in delivery.messages
        for event in pb.EventBatch.FromString(message.payload).events
    ]
    assert [failed.taskScheduledId for failed in failures] == [1, 2]
    for failed in failures:
        assert failed.failureDetails.errorType == "WorkflowNameTooLong"
        assert failed.failureDetails.isNonRetriable


def test_what_expects_no_answer_and_is_too_long_goes_nowhere() -> None:
    named = making.detached(1, "d", LONG_NAME)
    tagged = making.detached(2, "d")
    tagged.createDetachedWorkflow.tags.update(LONG_TAGS)
    sent = making.send(4, LONG_ID, "event")
    outcome = _first_turn(named, tagged, making.detached(3, LONG_ID), sent)
    assert (outcome.commit.children, outcome.commit.outgoing) == ((), ())
    assert all("too long: " in line for line in outcome.log)
    assert len(outcome.log) == 4
    assert max(map(len, outcome.log)) < 200
