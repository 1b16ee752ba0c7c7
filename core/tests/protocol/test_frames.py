"""Frames are what the protobuf library would make, and keep every byte of every event."""

from __future__ import annotations

import pytest
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.protocol.frames import (
    WorkflowFrame,
    activity_item_bytes,
    batch_bytes,
    history_response_bytes,
    split_batch,
)
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given, settings
from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
counts = st.integers(0, 2**31 - 1)
values = st.none() | st.builds(StringValue, value=texts)
routers = st.none() | st.builds(pb.TaskRouter, sourceAppID=texts)
stamps = st.builds(Timestamp, seconds=counts, nanos=st.integers(0, 999_999_999))
bodies = st.one_of(
    st.fixed_dictionaries(
        {"eventRaised": st.builds(pb.EventRaisedEvent, name=texts, input=values)}
    ),
    st.fixed_dictionaries(
        {"taskScheduled": st.builds(pb.TaskScheduledEvent, name=texts, taskExecutionId=texts)}
    ),
    st.fixed_dictionaries({"timerFired": st.builds(pb.TimerFiredEvent, fireAt=stamps)}),
    st.just({}),
)
# One field of a number that history events do not have, in several wire types.
foreign_fields = st.one_of(
    st.binary(max_size=60).map(lambda data: b"\x92\x01" + bytes([len(data)]) + data),
    st.sampled_from([b"\xb8\x01\x07", b"\x98\x80\x00\x01", b"\xc5\x3e\x01\x02\x03\x04"]),
)
canonical_events = st.builds(
    lambda number, router, body: pb.HistoryEvent(
        eventId=number, router=router, **body
    ).SerializeToString(),
    st.integers(-1, 2**31 - 1),
    routers,
    bodies,
)
# A foreign field may stand before the known ones too, where the library would never put it.
events = st.builds(
    lambda *parts: b"".join(parts), foreign_fields | st.just(b""), canonical_events, foreign_fields
)
propagated = st.sampled_from([None, b""]) | st.builds(
    lambda raw, name: pb.PropagatedHistory(
        scope=pb.HISTORY_PROPAGATION_SCOPE_LINEAGE,
        chunks=[pb.PropagatedHistoryChunk(rawEvents=raw, workflowName=name)],
    ).SerializeToString(),
    st.lists(st.binary(max_size=20), max_size=3),
    texts,
)


def frames(of: st.SearchStrategy[bytes]) -> st.SearchStrategy[WorkflowFrame]:
    return st.builds(
        WorkflowFrame,
        instance_id=texts,
        execution_id=st.none() | texts,
        past_events=st.lists(of, max_size=8),
        new_events=st.lists(of, max_size=4).map(tuple),
        cached_event_count=st.none() | counts,
        propagated_history=propagated,
        completion_token=texts,
    )


def expected_item(frame: WorkflowFrame) -> pb.WorkItem:
    item = pb.WorkItem(completionToken=frame.completion_token)
    request = item.workflowRequest
    request.SetInParent()
    request.instanceId = frame.instance_id
    if frame.execution_id is not None:
        request.executionId.SetInParent()
        request.executionId.value = frame.execution_id
    request.pastEvents.extend(map(pb.HistoryEvent.FromString, frame.past_events))
    request.newEvents.extend(map(pb.HistoryEvent.FromString, frame.new_events))
    if frame.cached_event_count is not None:
        request.cachedHistory.SetInParent()
        request.cachedHistory.eventCount = frame.cached_event_count
    if frame.propagated_history is not None:
        request.propagatedHistory.MergeFromString(frame.propagated_history)
        request.propagatedHistory.SetInParent()
    return item


def raw_fields(message: bytes, number: int) -> list[bytes]:
    """Return the undecoded payloads of one field, as the protobuf library delimits them."""
    unknown = UnknownFieldSet(Empty.FromString(message))
    return [field.data for field in unknown if field.field_number == number]


@settings(deadline=None)
@given(frames(of=events))
def test_frame_events_with_unknown_fields_parses_to_the_same_item(frame: WorkflowFrame) -> None:
    assert pb.WorkItem.FromString(frame.to_bytes()) == expected_item(frame)


@settings(deadline=None)
@given(frames(of=canonical_events))
def test_frame_canonical_events_gives_the_bytes_of_the_library(frame: WorkflowFrame) -> None:
    assert frame.to_bytes() == expected_item(frame).SerializeToString()


@settings(deadline=None)
@given(frames(of=events | st.binary(max_size=300)))
def test_frame_any_events_keeps_each_byte(frame: WorkflowFrame) -> None:
    (request,) = raw_fields(frame.to_bytes(), 1)
    assert raw_fields(request, 3) == list(frame.past_events)
    assert raw_fields(request, 4) == list(frame.new_events)
    given_history = [] if frame.propagated_history is None else [frame.propagated_history]
    assert raw_fields(request, 8) == given_history


@settings(deadline=None)
@given(frames(of=events | st.binary(max_size=300)))
def test_measure_frame_gives_the_length_of_its_bytes(frame: WorkflowFrame) -> None:
    assert frame.size_bytes() == len(frame.to_bytes())


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_frame_event_of_any_length_round_trips(length: int) -> None:
    event = b"e" * length
    frame = WorkflowFrame(instance_id="i", past_events=[event], new_events=[b"", event])
    (request,) = raw_fields(frame.to_bytes(), 1)
    assert raw_fields(request, 3) == [event]
    assert raw_fields(request, 4) == [b"", event]
    assert frame.size_bytes() == len(frame.to_bytes())
    assert split_batch(batch_bytes([event, event])) == (event, event)


def test_frame_negative_cached_count_is_written_as_the_library_writes_it() -> None:
    frame = WorkflowFrame(instance_id="i", past_events=(), new_events=(), cached_event_count=-1)
    assert frame.to_bytes() == expected_item(frame).SerializeToString()


def test_frame_cached_count_beyond_the_field_is_refused() -> None:
    frame = WorkflowFrame(instance_id="i", past_events=(), new_events=(), cached_event_count=2**31)
    with pytest.raises(ValueError, match="range"):
        frame.to_bytes()


activity_requests = st.builds(
    pb.ActivityRequest,
    name=texts,
    input=values,
    workflowInstance=st.builds(pb.WorkflowInstance, instanceId=texts),
    taskId=counts,
    taskExecutionId=texts,
)


@settings(deadline=None)
@given(activity_requests, texts)
def test_frame_activity_gives_the_bytes_of_the_library(
    request: pb.ActivityRequest, token: str
) -> None:
    expected = pb.WorkItem(activityRequest=request, completionToken=token).SerializeToString()
    assert activity_item_bytes(request, completion_token=token) == expected
    assert activity_item_bytes(request.SerializeToString(), completion_token=token) == expected


@settings(deadline=None)
@given(st.lists(events, max_size=6))
def test_join_events_parses_to_the_same_messages(raw: list[bytes]) -> None:
    messages = [pb.HistoryEvent.FromString(event) for event in raw]
    assert pb.EventBatch.FromString(batch_bytes(raw)) == pb.EventBatch(events=messages)
    response = pb.GetInstanceHistoryResponse.FromString(history_response_bytes(raw))
    assert response == pb.GetInstanceHistoryResponse(events=messages)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_split_batch_of_any_events_gives_each_byte_back(raw: list[bytes]) -> None:
    assert split_batch(batch_bytes(raw)) == tuple(raw)
    assert raw_fields(history_response_bytes(raw), 1) == raw


@settings(deadline=None)
@given(st.lists(canonical_events, max_size=6))
def test_split_batch_of_the_library_gives_its_events(raw: list[bytes]) -> None:
    batch = pb.EventBatch(events=[pb.HistoryEvent.FromString(event) for event in raw])
    assert split_batch(batch.SerializeToString()) == tuple(raw)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, 0x0A, 0x12, 0x7F, 0x80, 0xFF]), max_size=12))
def test_split_batch_of_any_bytes_is_refused_or_joins_to_the_same(groups: list[int]) -> None:
    payload = bytes(groups)
    try:
        raw = split_batch(payload)
    except BackendCorruptionError:
        return
    assert batch_bytes(raw) == payload
    assert raw_fields(payload, 1) == list(raw)


@settings(deadline=None)
@given(st.lists(canonical_events, min_size=1, max_size=4), st.data())
def test_split_batch_cut_anywhere_never_gives_an_event_that_was_not_there(
    raw: list[bytes], data: st.DataObject
) -> None:
    whole = batch_bytes(raw)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        found = split_batch(cut)
    except BackendCorruptionError:
        return
    assert found == tuple(raw[: len(found)])


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a",  # no length
        b"\x0a\x05abcd",  # cut short
        b"\x0a\x01ab",  # something behind the last event
        b"\x0a\x80",  # a length that does not end
        b"\x0a\x80\x80\x80\x80\x80\x00",  # a length that is too long
        b"\x0a\x81\x00a",  # a length that is not in its shortest form
        b"\x12\x01a",  # another field
        b"\x08\x01",  # another wire type
        b"\x8a\x00\x01a",  # a tag that is not in its shortest form
        b"\xff" * 40,
    ],
)
def test_split_batch_of_malformed_bytes_is_refused(payload: bytes) -> None:
    with pytest.raises(BackendCorruptionError, match="does not decode at byte"):
        split_batch(payload)


def test_split_batch_leaves_malformed_events_to_whoever_reads_them() -> None:
    (event,) = split_batch(batch_bytes([b"\xff"]))
    with pytest.raises(DecodeError):
        pb.HistoryEvent.FromString(event)
