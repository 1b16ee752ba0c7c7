"""The bytes in which workflows are stored: MessagePack, arrays instead of names, the version first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from durahub.backend import (
    ActivityTask,
    CreateInstance,
    Deliver,
    InstanceRecord,
    Message,
    ParentLink,
    Payloads,
    StoredMessage,
    Timer,
)
from durahub.errors import BackendCorruptionError
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, TaskKey

from durahub_actors.workflows import names
from durahub_actors.workflows.state import WorkflowState

FORMAT = 1
"""Version of the bytes; the first element of every array."""


class _Parent(msgspec.Struct, array_like=True, frozen=True):
    app_id: str
    instance_id: str
    execution_id: str
    task_id: int


class _Metadata(msgspec.Struct, array_like=True, frozen=True):
    format: int
    name: str
    version: str | None
    execution_id: str
    generation: int
    status: int
    created_at: datetime
    last_updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    scheduled_start_at: datetime | None
    parent: _Parent | None
    tags: dict[str, str]
    revision: int
    history_length: int
    parked_reason: str | None
    rank: int
    last_message_id: int
    not_before: datetime | None
    woken_at: datetime | None
    last_task_id: int
    payloads: tuple[str, ...]
    outboxes: tuple[str, ...]


class _Message(msgspec.Struct, array_like=True, frozen=True):
    format: int
    accepted_at: datetime
    execution_id: str | None
    payload: bytes


class _Timer(msgspec.Struct, array_like=True, frozen=True):
    format: int
    due_at: datetime
    payload: bytes


class _Task(msgspec.Struct, array_like=True, frozen=True):
    format: int
    app_id: str
    name: str
    payload: bytes


class Parcel(msgspec.Struct, array_like=True, frozen=True):
    """What a turn sends to other workflows.

    Attributes:
        children: Instances to create, in order.
        outgoing: Messages to deliver after that, in order.
        format: Version of the bytes.
    """

    children: tuple[CreateInstance, ...] = ()
    outgoing: tuple[Deliver, ...] = ()
    format: int = FORMAT

    def __bool__(self) -> bool:
        return bool(self.children or self.outgoing)


_encode = msgspec.msgpack.Encoder().encode
_metadata = msgspec.msgpack.Decoder(_Metadata)
_message = msgspec.msgpack.Decoder(_Message)
_timer = msgspec.msgpack.Decoder(_Timer)
_task = msgspec.msgpack.Decoder(_Task)
_parcel = msgspec.msgpack.Decoder(Parcel)


def encode_metadata(state: WorkflowState) -> bytes:
    """Return the value of the key `metadata`."""
    record, parent = state.record, state.record.parent
    return _encode(
        _Metadata(
            FORMAT,
            record.name,
            record.version,
            record.execution_id,
            record.generation,
            record.status,
            record.created_at,
            record.last_updated_at,
            record.started_at,
            record.completed_at,
            record.scheduled_start_at,
            None if parent is None else _Parent(*parent.key, parent.execution_id, parent.task_id),
            dict(record.tags),
            record.revision,
            record.history_length,
            record.parked_reason,
            state.rank,
            state.last_message_id,
            state.not_before,
            state.woken_at,
            state.last_task_id,
            tuple(state.payloads),
            state.outboxes,
        )
    )


def encode_message(stored: StoredMessage) -> bytes:
    """Return the value of a key of the inbox."""
    message = stored.message
    return _encode(_Message(FORMAT, stored.accepted_at, message.execution_id, message.payload))


def encode_timer(timer: Timer) -> bytes:
    """Return the value of a timer's key."""
    return _encode(_Timer(FORMAT, timer.due_at, timer.payload))


def encode_task(task: ActivityTask) -> bytes:
    """Return the payload of a task's reminder; whose task it is says the reminder's name."""
    return _encode(_Task(FORMAT, task.app_id, task.name, task.payload))


def decode_task(key: TaskKey, payload: bytes) -> ActivityTask:
    """Return the task of a reminder.

    Raises:
        BackendCorruptionError: The payload is not one of this program.
    """
    found = _decoded(_task, payload, key.instance)
    return ActivityTask(key=key, app_id=AppId(found.app_id), name=found.name, payload=found.payload)


def encode_parcel(parcel: Parcel) -> bytes:
    """Return the payload of an outbox reminder."""
    return _encode(parcel)


def decode_parcel(sender: InstanceKey, payload: bytes) -> Parcel:
    """Return what a turn sent.

    Raises:
        BackendCorruptionError: The payload is not one of this program.
    """
    found: Parcel = _decoded(_parcel, payload, sender)
    return found


def decode_record(key: InstanceKey, metadata: bytes) -> InstanceRecord:
    """Return the record in the value of the key `metadata`.

    Raises:
        BackendCorruptionError: The value is not one of this program.
    """
    return _record(key, _checked(key, metadata))


def decode_state(key: InstanceKey, values: Mapping[str, bytes]) -> WorkflowState:
    """Return a workflow from the values of its actor.

    Raises:
        BackendCorruptionError: They are not this program's.
    """
    found = _checked(key, values.get(names.METADATA))
    inbox = [
        _inbox_message(key, name, value)
        for name, value in values.items()
        if name.startswith(names.INBOX)
    ]
    timers = [
        _stored_timer(key, name, value)
        for name, value in values.items()
        if name.startswith(names.TIMER)
    ]
    return WorkflowState(
        record=_record(key, found),
        rank=found.rank,
        inbox=tuple(sorted(inbox, key=lambda one: one.message_id)),
        last_message_id=found.last_message_id,
        timers={timer.timer_id: timer for timer in timers},
        not_before=found.not_before,
        woken_at=found.woken_at,
        last_task_id=found.last_task_id,
        payloads=frozenset(found.payloads),
        outboxes=found.outboxes,
    )


def decode_payloads(key: InstanceKey, values: Mapping[str, bytes]) -> Payloads:
    """Return the payloads in the values of an actor.

    Raises:
        BackendCorruptionError: One is no text.
    """
    try:
        return Payloads(
            input=_text(values.get(names.INPUT)),
            output=_text(values.get(names.OUTPUT)),
            custom_status=_text(values.get(names.CUSTOM_STATUS)),
            failure=values.get(names.FAILURE),
        )
    except UnicodeDecodeError as error:
        raise _corrupt(key, error) from error


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _checked(key: InstanceKey, metadata: bytes | None) -> _Metadata:
    if metadata is None:
        raise _corrupt(key, "there is no metadata")
    found: _Metadata = _decoded(_metadata, metadata, key)
    return found


def _record(key: InstanceKey, found: _Metadata) -> InstanceRecord:
    parent = found.parent
    try:
        return InstanceRecord(
            key=key,
            name=found.name,
            version=found.version,
            execution_id=ExecutionId(found.execution_id),
            generation=found.generation,
            status=RuntimeStatus(found.status),
            created_at=found.created_at,
            last_updated_at=found.last_updated_at,
            started_at=found.started_at,
            completed_at=found.completed_at,
            scheduled_start_at=found.scheduled_start_at,
            parent=None if parent is None else _parent_link(parent),
            tags=found.tags,
            revision=found.revision,
            history_length=found.history_length,
            parked_reason=found.parked_reason,
        )
    except ValueError as error:
        raise _corrupt(key, error) from error


def _parent_link(parent: _Parent) -> ParentLink:
    return ParentLink(
        key=InstanceKey(AppId(parent.app_id), parent.instance_id),
        execution_id=ExecutionId(parent.execution_id),
        task_id=parent.task_id,
    )


def _inbox_message(key: InstanceKey, name: str, value: bytes) -> StoredMessage:
    found = _decoded(_message, value, key)
    execution_id = None if found.execution_id is None else ExecutionId(found.execution_id)
    return StoredMessage(
        message_id=_number(key, name, names.INBOX),
        message=Message(payload=found.payload, execution_id=execution_id),
        accepted_at=found.accepted_at,
    )


def _stored_timer(key: InstanceKey, name: str, value: bytes) -> Timer:
    found = _decoded(_timer, value, key)
    timer_id = _number(key, name, names.TIMER)
    return Timer(timer_id=timer_id, due_at=found.due_at, payload=found.payload)


def _number(key: InstanceKey, name: str, prefix: str) -> int:
    try:
        return int(name.removeprefix(prefix))
    except ValueError as error:
        raise _corrupt(key, error) from error


def _decoded(decoder: msgspec.msgpack.Decoder[Any], value: bytes, key: InstanceKey) -> Any:
    try:
        found = decoder.decode(value)
    except (msgspec.DecodeError, ValueError) as error:
        raise _corrupt(key, error) from error
    if found.format != FORMAT:
        raise _corrupt(key, f"format {found.format} is not known to this program")
    return found


def _corrupt(key: InstanceKey, reason: object) -> BackendCorruptionError:
    return BackendCorruptionError(
        f"the state of instance {key.instance_id!r} of app {key.app_id!r} does not decode: {reason};"
        " restore a backup, or purge the instance by force"
    )
