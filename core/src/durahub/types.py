"""Ids and enumerations that every layer shares."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, NewType

AppId = NewType("AppId", str)
"""Name of an application, as given by `--app-id`. Owner of instances; part of every key."""

SessionId = NewType("SessionId", str)
"""Name of one running sidecar process in a task hub; unique for ever."""

ExecutionId = NewType("ExecutionId", str)
"""Name of one generation of an instance; unique for ever, unlike the generation's number."""


class InstanceKey(NamedTuple):
    """Identifies a workflow instance in a task hub.

    Attributes:
        app_id: The application that owns the instance.
        instance_id: Any string without further rules; compared byte by byte.
    """

    app_id: AppId
    instance_id: str


class TaskKey(NamedTuple):
    """Identifies an activity task in a task hub.

    Attributes:
        instance: The instance that scheduled the task.
        execution_id: The generation that scheduled it.
        task_id: The event id of its TaskScheduled event; unique in the generation.
    """

    instance: InstanceKey
    execution_id: ExecutionId
    task_id: int


class RuntimeStatus(IntEnum):
    """Status of an instance; the numbers are those of the protocol's OrchestrationStatus."""

    RUNNING = 0
    COMPLETED = 1
    CONTINUED_AS_NEW = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    PENDING = 6
    SUSPENDED = 7
    STALLED = 8

    @property
    def is_terminal(self) -> bool:
        """Whether the instance can never run again in its present generation."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        RuntimeStatus.COMPLETED,
        RuntimeStatus.FAILED,
        RuntimeStatus.CANCELED,
        RuntimeStatus.TERMINATED,
    }
)

TERMINAL_STATUSES = tuple(sorted(_TERMINAL))
"""The statuses that end an instance, in the order of their numbers."""
