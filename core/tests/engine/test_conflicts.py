"""Occupied child ids, and which operations may share a batch."""

from __future__ import annotations

from durahub.backend import (
    CommitActivity,
    Deliver,
    Message,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
)
from durahub.engine.batches import exclusive_keys
from durahub.engine.conflicts import resolve_occupied
from durahub.protocol import messages as pb
from durahub.types import InstanceKey, TaskKey
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import APP, KEY, NOW, RUN
from .simulation import Run, decided
from .strategies import quickly

verdicts = st.dictionaries(
    st.sampled_from([InstanceKey(APP, name) for name in ("a", "b", "c", "d", "e")]),
    st.none() | st.integers(0, 9),
)


@quickly
@given(verdicts)
def test_resolve_occupied_with_any_verdicts_answers_each_child_once(
    occupied: dict[InstanceKey, int | None],
) -> None:
    run = Run()
    run.deliver(making.started())
    outcome = decided(
        run,
        making.child(1, "a"),
        making.child(2, "b"),
        making.child(3, "c"),
        making.detached(4, "d"),
        making.detached(5, "e"),
    )
    resolved = resolve_occupied(outcome, occupied, making.context())
    created = {child.key.instance_id: child.replaces for child in resolved.commit.children}
    failed = [failure(delivery) for delivery in resolved.commit.outgoing]
    for number, name in enumerate("abcde", start=1):
        verdict = occupied.get(InstanceKey(APP, name), "free")
        if verdict == "free":
            assert created[name] is None
        elif verdict is not None:
            assert created[name] == verdict
        else:
            assert name not in created
            assert failed.count((number, name)) == (1 if name in "abc" else 0)
            assert (name in "abc") or any(name in line for line in resolved.log)
    assert len(failed) == sum(
        1 for key, value in occupied.items() if value is None and key[1] in "abc"
    )
    assert resolved.commit.history == outcome.commit.history
    assert resolve_occupied(resolved, {}, making.context()) == resolved


def failure(delivery: Deliver) -> tuple[int, str]:
    assert delivery.key == KEY
    (message,) = delivery.messages
    assert message.execution_id == RUN
    (event,) = pb.EventBatch.FromString(message.payload).events
    details = event.childWorkflowInstanceFailed.failureDetails
    assert details.errorType == "WorkflowInstanceAlreadyExists"
    name = details.errorMessage.split("'")[1]
    return event.childWorkflowInstanceFailed.taskScheduledId, name


def test_exclusive_keys_of_each_operation_name_what_it_changes() -> None:
    task = TaskKey(KEY, RUN, 1)
    message = Message(payload=b"")
    run = Run()
    run.deliver(making.started())
    turn = decided(run, making.child(1, "a"), making.send(2, "b", "paid")).commit
    (creation,) = turn.children
    assert set(exclusive_keys(turn)) == {KEY, InstanceKey(APP, "a")}
    assert exclusive_keys(creation) == (InstanceKey(APP, "a"),)
    assert exclusive_keys(ReleaseInstance(key=KEY)) == (KEY,)
    assert exclusive_keys(ParkInstance(key=KEY, reason="", updated_at=NOW)) == (KEY,)
    assert exclusive_keys(PurgeInstance(key=KEY)) == (KEY,)
    assert exclusive_keys(Deliver(key=KEY, messages=(message,))) == ()
    assert exclusive_keys(CommitActivity(task=task, result=message)) == ()
    assert exclusive_keys(ReleaseActivity(task=task)) == ()
