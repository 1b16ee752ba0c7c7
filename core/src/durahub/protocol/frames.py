"""Messages joined from stored events, without decoding or re-encoding a single one.

A field that holds a message is its tag, the message's length and the message's bytes. So events
that are stored as bytes become part of a larger message by putting them behind a tag and a length,
and whatever an SDK wrote into them arrives as it was, including fields that this program does not
know. Everything else in a frame is encoded by the protobuf library; its output may simply be put
before and behind the events, because encoded messages merge when they are concatenated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from google.protobuf.wrappers_pb2 import StringValue

from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

_LENGTH_DELIMITED: Final = 2
_MORE: Final = 0x80
_LONGEST_LENGTH: Final = 5
"""Bytes of the longest length that is read; protobuf messages end at 2 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFrame:
    """A `WorkItem` that asks for the next turn of a workflow.

    Attributes:
        instance_id: The instance whose turn it is.
        execution_id: Its execution, if known.
        past_events: The serialised committed history, without what the worker has cached.
        new_events: The serialised events of this turn.
        cached_event_count: How many events before `past_events` the worker is told to take from its
            cache; `None` sends no such word.
        propagated_history: A serialised `PropagatedHistory` that the instance was given.
        completion_token: What the worker sends back with its result.
    """

    instance_id: str
    execution_id: str | None = None
    past_events: Sequence[bytes]
    new_events: Sequence[bytes]
    cached_event_count: int | None = None
    propagated_history: bytes | None = None
    completion_token: str = ""

    def to_bytes(self) -> bytes:
        """Return the serialised `WorkItem`.

        Equal to what the protobuf library makes of the same content, as long as the events
        themselves are encoded as it encodes them.
        """
        # The first part is kept free for the header, which needs the length of all others.
        parts = [b"", self._head()]
        _PAST_EVENTS.append_all(parts, self.past_events)
        _NEW_EVENTS.append_all(parts, self.new_events)
        parts.append(self._tail())
        parts[0] = _WORKFLOW_REQUEST.header(sum(map(len, parts)))
        parts.append(_token(self.completion_token))
        return b"".join(parts)

    def size_bytes(self) -> int:
        """Return `len(self.to_bytes())` without copying an event."""
        request_bytes = (
            len(self._head())
            + _PAST_EVENTS.size_of_all(self.past_events)
            + _NEW_EVENTS.size_of_all(self.new_events)
            + len(self._tail())
        )
        return _WORKFLOW_REQUEST.size(request_bytes) + len(_token(self.completion_token))

    def _head(self) -> bytes:
        execution_id = None
        if self.execution_id is not None:
            execution_id = StringValue(value=self.execution_id)
        return pb.WorkflowRequest(
            instanceId=self.instance_id, executionId=execution_id
        ).SerializeToString()

    def _tail(self) -> bytes:
        parts: list[bytes] = []
        if self.propagated_history is not None:
            _PROPAGATED_HISTORY.append_all(parts, (self.propagated_history,))
        if self.cached_event_count is not None:
            cached = pb.CachedHistory(eventCount=self.cached_event_count)
            parts.append(pb.WorkflowRequest(cachedHistory=cached).SerializeToString())
        return b"".join(parts)


def activity_item_bytes(
    request: pb.ActivityRequest | bytes, *, completion_token: str = ""
) -> bytes:
    """Return the serialised `WorkItem` that asks for an activity.

    Args:
        request: What to run, as a message or serialised.
        completion_token: What the worker sends back with its result.
    """
    payload = request if isinstance(request, bytes) else request.SerializeToString()
    return _ACTIVITY_REQUEST.encode_all((payload,)) + _token(completion_token)


def activity_request_with(request: bytes, propagated_history: bytes) -> bytes:
    """Return a serialised `ActivityRequest` with a serialised `PropagatedHistory` in it.

    Args:
        request: One that has none.
        propagated_history: What the activity is to see of its ancestors.
    """
    return request + _ACTIVITY_HISTORY.encode_all((propagated_history,))


def history_response_bytes(events: Iterable[bytes]) -> bytes:
    """Return the serialised `GetInstanceHistoryResponse` of serialised events."""
    return _RESPONSE_EVENTS.encode_all(events)


def length_delimited(number: int, payload: bytes) -> bytes:
    """Return one encoded length-delimited field.

    Args:
        number: The field's number.
        payload: Its content.
    """
    return _header(_varint(number << 3 | _LENGTH_DELIMITED), len(payload)) + payload


def batch_bytes(events: Iterable[bytes]) -> bytes:
    """Return the serialised `EventBatch` of serialised events; inverse of `split_batch`."""
    return _BATCH_EVENTS.encode_all(events)


def fork_bytes(events: Iterable[bytes]) -> bytes:
    """Return the serialised `EventBatch` of the history that a new instance begins with."""
    return _FORKED + batch_bytes(events)


def split_fork(payload: bytes) -> tuple[bytes, ...] | None:
    """Return the events of what `fork_bytes` made, or None if `payload` is another batch.

    Raises:
        BackendCorruptionError: It is one, and cut short.
    """
    return split_batch(payload[len(_FORKED) :]) if payload.startswith(_FORKED) else None


def split_batch(payload: bytes) -> tuple[bytes, ...]:
    """Return each event of a serialised `EventBatch` in its original bytes.

    Takes exactly what `batch_bytes` makes: `batch_bytes(split_batch(p)) == p` for every `p` that is
    not refused. The events themselves are not looked into.

    Raises:
        BackendCorruptionError: `payload` is cut short, or is no batch that Durahub wrote.
    """
    events = []
    position = 0
    while position < len(payload):
        if not payload.startswith(_BATCH_EVENTS.tag, position):
            raise _corrupt(payload, position)
        length, start = _read_length(payload, position + len(_BATCH_EVENTS.tag))
        position = start + length
        events.append(payload[start:position])
    if position > len(payload):
        raise _corrupt(payload, len(payload))
    return tuple(events)


class _Field:
    """Encodes one length-delimited field of one message type.

    Attributes:
        tag: The bytes before each length: the field's number and its wire type.
    """

    __slots__ = ("tag",)

    def __init__(self, message: type[Message], name: str) -> None:
        number = message.DESCRIPTOR.fields_by_name[name].number
        self.tag = _varint(number << 3 | _LENGTH_DELIMITED)

    def header(self, length: int) -> bytes:
        return _header(self.tag, length)

    def size(self, length: int) -> int:
        return len(_header(self.tag, length)) + length

    def size_of_all(self, payloads: Iterable[bytes]) -> int:
        return sum(map(self.size, map(len, payloads)))

    def append_all(self, parts: list[bytes], payloads: Iterable[bytes]) -> None:
        tag = self.tag
        for payload in payloads:
            parts.append(_header(tag, len(payload)))
            parts.append(payload)

    def encode_all(self, payloads: Iterable[bytes]) -> bytes:
        parts: list[bytes] = []
        self.append_all(parts, payloads)
        return b"".join(parts)


# Events of one kind tend to have one length: the same few headers are asked for all the time.
@lru_cache(maxsize=4096)
def _header(tag: bytes, length: int) -> bytes:
    return tag + _varint(length)


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number >= _MORE:
        groups.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _read_length(payload: bytes, position: int) -> tuple[int, int]:
    """Return the length that stands at `position`, and where what it measures begins."""
    length = 0
    for index, group in enumerate(payload[position : position + _LONGEST_LENGTH]):
        length |= (group & (_MORE - 1)) << 7 * index
        if group < _MORE:
            # A zero in the last place says nothing, so the shortest form never has one.
            if group == 0 and index > 0:
                break
            return length, position + index + 1
    raise _corrupt(payload, position)


def _token(completion_token: str) -> bytes:
    return pb.WorkItem(completionToken=completion_token).SerializeToString()


def _corrupt(payload: bytes, position: int) -> BackendCorruptionError:
    return BackendCorruptionError(
        f"a stored event batch of {len(payload)} bytes does not decode at byte {position}"
    )


_WORKFLOW_REQUEST: Final = _Field(pb.WorkItem, "workflowRequest")
_ACTIVITY_REQUEST: Final = _Field(pb.WorkItem, "activityRequest")
_PAST_EVENTS: Final = _Field(pb.WorkflowRequest, "pastEvents")
_NEW_EVENTS: Final = _Field(pb.WorkflowRequest, "newEvents")
_PROPAGATED_HISTORY: Final = _Field(pb.WorkflowRequest, "propagatedHistory")
_ACTIVITY_HISTORY: Final = _Field(pb.ActivityRequest, "propagatedHistory")
_RESPONSE_EVENTS: Final = _Field(pb.GetInstanceHistoryResponse, "events")
_BATCH_EVENTS: Final = _Field(pb.EventBatch, "events")
_FORKED: Final = pb.EventBatch(forked=True).SerializeToString()
