"""Who is given whose history, and that it is the history to the byte."""

from __future__ import annotations

import pytest
from durahub.backend import ClaimedInstance, CommitTurn, Message, StoredMessage
from durahub.engine.adoption import adopt
from durahub.engine.decision import TurnOutcome
from durahub.engine.events import give_history, given_history, remember_requests, visible_events
from durahub.engine.frames import turn_frame
from durahub.engine.residents import Resident
from durahub.engine.streams import WorkerStream
from durahub.protocol import messages as pb
from durahub.protocol.frames import fork_bytes, length_delimited
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import KEY, NOW
from .propagating import (
    LINEAGE,
    NONE,
    OWN,
    chunk,
    events,
    ids,
    of_child,
    of_start,
    of_task,
    sharing,
)
from .simulation import Run, begun, decided
from .strategies import quickly

PARENT = chunk([b"not even an event"], "boss", "office", "Boss")
GRAND = chunk([b"\x00", b""], "owner", "office", "Owner")
NEW_FIELD = length_delimited(1000, b"of a newer SDK")

scopes = st.sampled_from([None, NONE, OWN, LINEAGE, 17])


def given_start(*chunks: pb.PropagatedHistoryChunk, scope: int = LINEAGE) -> pb.HistoryEvent:
    history = pb.PropagatedHistory(scope=scope, chunks=chunks)
    raw = give_history(making.started("in").SerializeToString(), history.SerializeToString())
    return pb.HistoryEvent.FromString(raw)


def own_history(run: Run) -> pb.PropagatedHistoryChunk:
    """Return the history of a run as others may see it."""
    return chunk(visible_events(run.resident.history), KEY.instance_id)


def shares(commit: CommitTurn) -> list[pb.PropagatedHistory | None]:
    return [*map(of_task, commit.activities), *map(of_child, commit.children)]


@quickly
@given(st.lists(st.tuples(st.booleans(), scopes), max_size=12), st.integers(1, 4))
def test_share_of_any_turn_is_the_history_that_it_leaves_behind(
    asked: list[tuple[bool, int | None]], per_turn: int
) -> None:
    run = begun(start=given_start(GRAND, PARENT))
    for first in range(0, len(asked), per_turn):
        actions = []
        for number, (is_child, scope) in enumerate(asked[first : first + per_turn], start=first):
            action = making.child(number) if is_child else making.schedule(number)
            actions.append(sharing(action, scope))
        run.deliver(making.raised("paid", data=str(first)))
        commit = decided(run, *actions).commit
        found = {task.key.task_id: of_task(task) for task in commit.activities}
        found |= {c.parent.task_id: of_child(c) for c in commit.children if c.parent is not None}
        for number, (_, scope) in enumerate(asked[first : first + per_turn], start=first):
            ancestors = [GRAND, PARENT] if scope == LINEAGE else []
            expected = pb.PropagatedHistory(scope=scope, chunks=[*ancestors, own_history(run)])
            assert found[number] == (expected if scope in {OWN, LINEAGE} else None)


def test_share_has_every_byte_of_an_event_with_unknown_fields() -> None:
    run = begun()
    raw = making.raised("paid").SerializeToString() + NEW_FIELD
    run.deliver(pb.HistoryEvent.FromString(raw))
    (share,) = shares(decided(run, sharing(making.schedule(1), OWN)).commit)
    assert share is not None
    assert raw in share.chunks[0].rawEvents
    assert making.kinds(events(share)) == run.kinds()


def test_share_of_a_workflow_that_ends_goes_to_what_it_leaves_behind() -> None:
    run = begun()
    run.deliver(making.raised("paid"))
    (share,) = shares(decided(run, sharing(making.schedule(1), OWN), making.complete()).commit)
    assert share is not None
    assert making.kinds(events(share))[-1] == "executionCompleted"


def test_own_history_holds_nothing_of_what_its_instance_was_given() -> None:
    run = begun(start=given_start(PARENT))
    run.deliver(making.raised("paid"))
    (share,) = shares(decided(run, sharing(making.schedule(1), OWN)).commit)
    assert share is not None
    assert ids(share) == [KEY.instance_id]
    assert b"not even an event" not in share.SerializeToString()
    assert events(share)[1] == making.started("in")


def test_detached_workflow_is_given_nothing_beside_a_child_that_is() -> None:
    run = begun(start=given_start(PARENT))
    run.deliver(making.raised("paid"))
    child = sharing(making.child(1), LINEAGE)
    share, detached = shares(decided(run, child, making.detached(2, "away")).commit)
    assert share is not None
    assert detached is None


def test_retried_child_of_an_id_that_is_taken_leaves_the_other_its_share() -> None:
    run = begun()
    run.deliver(making.raised("paid"))
    twins = [sharing(making.child(number, "twin"), OWN) for number in (1, 2)]
    commit = decided(run, *twins).commit
    (share,) = shares(commit)
    assert share is not None
    assert making.kinds(events(share)).count("childWorkflowInstanceCreated") == 2


@pytest.mark.parametrize("scope", [OWN, LINEAGE])
def test_next_generation_keeps_what_it_was_given(scope: int) -> None:
    run = begun(making.schedule(1), start=given_start(GRAND, PARENT, scope=scope))
    run.deliver(making.task_completed(1))
    following = decided(run, making.continue_as_new("x")).commit.next_generation
    assert following is not None
    share = of_start(following.start.payload)
    assert share is not None
    assert share.scope == scope
    assert list(share.chunks[:2]) == [GRAND, PARENT]
    assert ids(share)[2:] == ([KEY.instance_id] if scope == LINEAGE else [])


def test_next_generation_of_a_lineage_sees_the_one_before_to_its_last_event() -> None:
    run = begun(making.schedule(1), start=given_start(PARENT))
    run.deliver(making.task_completed(1, "result"))
    following = decided(run, making.continue_as_new("x")).commit.next_generation
    assert following is not None
    share = of_start(following.start.payload)
    assert share is not None
    assert making.kinds(events(share)) == [*run.kinds(), "workflowStarted", "taskCompleted"]
    start = pb.EventBatch.FromString(following.start.payload).events[0]
    second = begun(start=start)
    second.deliver(making.raised("paid"))
    (handed_on,) = shares(decided(second, sharing(making.schedule(1), LINEAGE)).commit)
    assert handed_on is not None
    assert list(handed_on.chunks) == [*share.chunks, own_history(second)]


def test_next_generation_of_one_that_was_given_nothing_is_given_nothing() -> None:
    following = decided(begun(), making.continue_as_new()).commit.next_generation
    assert following is not None
    assert of_start(following.start.payload) is None


def adopted(*history: pb.HistoryEvent) -> TurnOutcome:
    message = Message(payload=fork_bytes(making.raws(history)))
    stored = StoredMessage(message_id=1, message=message, accepted_at=NOW)
    claimed = ClaimedInstance(record=making.record(), messages=(stored,), timers=())
    outcome = adopt(claimed, making.context())
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("scope", [None, OWN, LINEAGE])
def test_adoption_gives_what_is_done_again_the_history_that_it_begins_with(
    scope: int | None,
) -> None:
    task, child = making.scheduled(1), making.child_created(2)
    if scope is not None:
        task.taskScheduled.historyPropagationScope = scope
        child.childWorkflowInstanceCreated.historyPropagationScope = scope
    outcome = adopted(making.opened(), given_start(PARENT), task, child)
    for share in shares(outcome.commit):
        if scope is None:
            assert share is None
            continue
        assert share is not None
        own = chunk(visible_events(outcome.commit.history), KEY.instance_id)
        assert list(share.chunks) == ([PARENT, own] if scope == LINEAGE else [own])
    kept = pb.HistoryEvent.FromString(outcome.commit.history[1])
    assert given_history(kept) is not None


def test_worker_is_given_it_beside_the_events_in_every_turn() -> None:
    run = Run()
    run.deliver(given_start(PARENT))
    stream = WorkerStream(number=1, stateful_history=False, limit=1)
    for _ in range(3):
        plan = run.plan()
        frame = turn_frame(plan, run.resident)(stream, "token")
        request = pb.WorkItem.FromString(frame).workflowRequest
        assert list(request.propagatedHistory.chunks) == [PARENT]
        assert frame.count(b"not even an event") == 1
        assert [*request.pastEvents, *request.newEvents][1] == making.started("in")
        run.turn(plan, [])
        run.deliver(making.raised("paid"))


def test_worker_of_an_instance_that_was_given_nothing_gets_no_empty_history() -> None:
    run = Run()
    run.deliver(making.started())
    frame = turn_frame(run.plan(), Resident(making.RUN, 0))
    item = pb.WorkItem.FromString(frame(WorkerStream(1, stateful_history=False, limit=1), "t"))
    assert not item.workflowRequest.HasField("propagatedHistory")


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_visible_events_are_the_stored_ones_to_the_byte(before: bytes, propagated: bytes) -> None:
    start = making.started()
    start.executionStarted.input.value = repr(before)
    if before:
        remember_requests(start, before)
    plain = start.SerializeToString()
    history = [making.opened().SerializeToString(), plain, b"\xffgarbled" + before]
    assert visible_events(history) is history
    stored = [history[0], give_history(plain, propagated), history[2]]
    assert visible_events(stored) == history
    again = pb.HistoryEvent.FromString(stored[1])
    assert given_history(again) == propagated
    # A rerun writes the start anew.
    assert again.SerializeToString() == stored[1]


def test_visible_events_of_a_history_whose_user_wrote_the_same_bytes() -> None:
    start = making.started().SerializeToString()
    raw = give_history(start, give_history(b"", b"y"))
    event = making.raised("paid").SerializeToString() + length_delimited(
        17, give_history(b"", b"z")
    )
    assert visible_events([event, raw]) == [event, start]


def test_given_history_that_does_not_decode_never_reaches_a_worker() -> None:
    raw = give_history(making.started().SerializeToString(), b"\xff\xff")
    run = Run()
    run.deliver(pb.HistoryEvent.FromString(raw))
    with pytest.raises(DecodeError):
        run.plan()
