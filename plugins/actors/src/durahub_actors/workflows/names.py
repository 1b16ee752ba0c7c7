"""How workflows, their state and their reminders are called in a state store.

Actor types, ids and keys are those of Dapr's own backend as far as the data is the same.
"""

from __future__ import annotations

from durahub.backend import StoredMessage
from durahub.types import AppId, ExecutionId, InstanceKey, TaskKey

from durahub_actors.stores import ActorId

DEFAULT_NAMESPACE = "default"

METADATA = "metadata"
INPUT = "input"
OUTPUT = "output"
CUSTOM_STATUS = "customStatus"
FAILURE = "failure"
PAYLOADS = (INPUT, OUTPUT, CUSTOM_STATUS, FAILURE)

HISTORY = "history-"
INBOX = "inbox-"
TIMER = "timer-"

WAKE = "wake"
"""The reminder of a workflow that something waits for; whoever holds it owns the workflow."""

TASK = "run-activity-"
"""What names of reminders of activity tasks begin with; whoever holds one owns the task."""

OUTBOX = "outbox-"
"""What names of reminders begin with whose payload is on its way to other workflows."""

CREATED = "created"
"""The index of workflows in order of creation."""


class Names:
    """The names within one namespace."""

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        self._prefix = f"dapr.internal.{namespace}."
        self.outbox_queue = f"{self._prefix}outbox"

    def workflow_type(self, app_id: AppId) -> str:
        """Return the actor type of an application's workflows, also the queue of those that are due."""
        return f"{self._prefix}{app_id}.workflow"

    def activity_queue(self, app_id: AppId) -> str:
        """Return the actor type of an application's activities: the queue of tasks that it runs."""
        return f"{self._prefix}{app_id}.activity"

    def session(self, session_id: str) -> ActorId:
        """Return the home of what is forwarded to a session."""
        return ActorId(f"{self._prefix}session", session_id)

    def actor_of(self, key: InstanceKey) -> ActorId:
        """Return the actor of a workflow instance."""
        return ActorId(f"{self._prefix}{key.app_id}.workflow", key.instance_id)

    def key_of(self, actor: ActorId) -> InstanceKey:
        """Return the instance of a workflow actor."""
        app_id = actor.type.removeprefix(self._prefix).removesuffix(".workflow")
        return InstanceKey(AppId(app_id), actor.id)


def history_key(number: int) -> str:
    """Return the key of an event, counted from 0 in its generation."""
    return f"{HISTORY}{number:06d}"


def inbox_key(message: StoredMessage) -> str:
    """Return the key of a waiting message."""
    return f"{INBOX}{message.message_id:06d}"


def timer_key(timer_id: int) -> str:
    """Return the key of a timer."""
    return f"{TIMER}{timer_id}"


def task_name(task: TaskKey) -> str:
    """Return the name of a task's reminder, whose home is the workflow that scheduled it."""
    return f"{TASK}{task.execution_id}-{task.task_id}"


def task_key(instance: InstanceKey, name: str) -> TaskKey:
    """Return the task of a reminder."""
    execution_id, _, task_id = name.removeprefix(TASK).rpartition("-")
    return TaskKey(instance, ExecutionId(execution_id), int(task_id))


def outbox_name(revision: int) -> str:
    """Return the name of the reminder with what a turn sent, by the revision that the turn made."""
    return f"{OUTBOX}{revision:06d}"


def ended_index(status_name: str) -> str:
    """Return the index of workflows that ended with a status, in the order of their ends."""
    return f"ended-{status_name.lower()}"
