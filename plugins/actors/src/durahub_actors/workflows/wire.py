"""What hosts say to each other about workflows, as bytes. Both ends are of one version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import msgspec
from durahub.backend import (
    ActivityCommitted,
    ActivityTask,
    ChildrenExist,
    ClaimedInstance,
    CommitActivity,
    CreateInstance,
    Deliver,
    Delivered,
    InstanceCreated,
    InstanceEnded,
    InstanceExists,
    InstanceMissing,
    InstanceNotEnded,
    NotOwner,
    ParkInstance,
    Purged,
    PurgeInstance,
    ReleaseActivity,
    Released,
    ReleaseInstance,
    Result,
    TaskNotOwned,
    TurnCommitted,
)
from durahub.errors import BackendError
from durahub.types import AppId, InstanceKey, SessionId

from durahub_actors.stores import ActorId
from durahub_actors.workflows.steps import Answer, Claim, Step, Turn

FORMAT = 1
"""Rises with every change of what is said; hosts of other formats don't understand each other."""

_STEPS: tuple[type[Any], ...] = (
    Turn,
    Claim,
    CreateInstance,
    Deliver,
    CommitActivity,
    ReleaseInstance,
    ParkInstance,
    ReleaseActivity,
    PurgeInstance,
)
_RESULTS: tuple[type[Any], ...] = (
    InstanceCreated,
    InstanceExists,
    Delivered,
    InstanceMissing,
    InstanceEnded,
    InstanceNotEnded,
    TurnCommitted,
    NotOwner,
    ChildrenExist,
    ActivityCommitted,
    TaskNotOwned,
    Released,
    Purged,
)
_STEP_NUMBER = {kind: number for number, kind in enumerate(_STEPS)}
_RESULT_NUMBER = {kind: number for number, kind in enumerate(_RESULTS)}

Tagged = tuple[int, msgspec.Raw]


class Task(msgspec.Struct, array_like=True, frozen=True):
    """What is asked of one workflow.

    Attributes:
        actor: Which.
        is_owned: Whether the session owns it, as far as its host knows.
        settled: Its outbox reminders whose content has been delivered.
        steps: What is asked.
    """

    actor: ActorId
    is_owned: bool
    settled: frozenset[str]
    steps: list[Tagged]


class Call(msgspec.Struct, array_like=True, frozen=True):
    """A host asks another one for steps; `Visit` says what the parts mean."""

    format: int
    app_id: AppId | None
    lease: str | None
    host: str
    now: datetime
    instances: int
    activities: int
    tasks: list[Task]


class _Said(msgspec.Struct, array_like=True, frozen=True):
    results: list[Tagged]
    claimed: ClaimedInstance | None
    tasks: tuple[ActivityTask, ...]
    unclaimed: tuple[ActivityTask, ...]
    is_left: bool
    is_changed: bool
    freed: frozenset[AppId]
    is_scheduled: bool
    is_given_up: bool
    is_damaged: bool


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """The answer to a call: one of each workflow in the order asked, or why there is none.

    Attributes:
        problem: Empty; or one of `BUSY`, `LEASE`, `UNAVAILABLE`, `DAMAGED`, `FAILED`.
        message: For people, with a problem.
        answers: Without one.
    """

    problem: str = ""
    message: str = ""
    answers: list[_Said] = []


BUSY, LEASE, UNAVAILABLE, DAMAGED, FAILED = "busy", "lease", "unavailable", "damaged", "failed"


class Told(msgspec.Struct, array_like=True, frozen=True):
    """A hint for the sessions of another host.

    Attributes:
        due: Applications that have something to claim.
        changed: Instances whose status changed.
        forwarded_to: The session to which something was forwarded.
    """

    due: list[AppId]
    changed: list[InstanceKey]
    forwarded_to: SessionId | None = None


_encoder = msgspec.msgpack.Encoder()
_call = msgspec.msgpack.Decoder(Call)
_reply = msgspec.msgpack.Decoder(Reply)
_told = msgspec.msgpack.Decoder(Told)
_steps = tuple(msgspec.msgpack.Decoder(kind) for kind in _STEPS)
_results = tuple(msgspec.msgpack.Decoder(kind) for kind in _RESULTS)

encode = _encoder.encode
"""Returns the bytes of a call, a reply, or a hint."""


def decode_call(data: bytes) -> Call:
    """Return a call.

    Raises:
        BackendError: It is not one of this version.
    """
    call: Call = _decoded(_call, data)
    if call.format != FORMAT:
        raise BackendError("another host speaks another version of Durahub")
    return call


def decode_reply(data: bytes) -> Reply:
    """Return a reply; raises as `decode_call`."""
    reply: Reply = _decoded(_reply, data)
    return reply


def decode_told(data: bytes) -> Told:
    """Return a hint; raises as `decode_call`."""
    told: Told = _decoded(_told, data)
    return told


def _decoded(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise BackendError(f"another host speaks another version of Durahub: {error}") from error


def tasks_of(
    steps: Mapping[ActorId, Sequence[Step]],
    owned: AbstractSet[ActorId],
    settled: Mapping[ActorId, frozenset[str]],
) -> list[Task]:
    """Return steps as they travel."""
    return [
        Task(
            actor,
            actor in owned,
            settled.get(actor, frozenset()),
            [_tagged(_STEP_NUMBER, step) for step in asked],
        )
        for actor, asked in steps.items()
    ]


def steps_of(tasks: Sequence[Task]) -> dict[ActorId, tuple[Step, ...]]:
    """Return the steps that have travelled."""
    return {
        task.actor: tuple(_steps[kind].decode(raw) for kind, raw in task.steps) for task in tasks
    }


def reply_of(answers: Sequence[Answer]) -> Reply:
    """Return answers as they travel."""
    return Reply(
        answers=[
            _Said(
                [_tagged(_RESULT_NUMBER, result) for result in one.results],
                one.claimed,
                one.tasks,
                one.unclaimed,
                one.is_left,
                one.is_changed,
                one.freed,
                one.is_scheduled,
                one.is_given_up,
                one.is_damaged,
            )
            for one in answers
        ]
    )


def answers_of(reply: Reply) -> list[Answer]:
    """Return the answers that have travelled."""
    return [
        Answer(
            results=tuple(_result(kind, raw) for kind, raw in one.results),
            claimed=one.claimed,
            tasks=one.tasks,
            unclaimed=one.unclaimed,
            is_left=one.is_left,
            is_changed=one.is_changed,
            freed=one.freed,
            is_scheduled=one.is_scheduled,
            is_given_up=one.is_given_up,
            is_damaged=one.is_damaged,
        )
        for one in reply.answers
    ]


def _tagged(numbers: Mapping[type[Any], int], value: object) -> Tagged:
    return numbers[type(value)], msgspec.Raw(_encoder.encode(value))


def _result(kind: int, raw: msgspec.Raw) -> Result:
    result: Result = _results[kind].decode(raw)
    return result
