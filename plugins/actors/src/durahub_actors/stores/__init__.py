"""State stores: what the actors backend keeps its actors in."""

from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.memory import MemoryStateStore
from durahub_actors.stores.memory_state import MemoryState
from durahub_actors.stores.saves import (
    UNCHECKED,
    ActorId,
    Refusal,
    Refused,
    Reminder,
    ReminderId,
    Save,
    Saved,
    SaveResult,
)
from durahub_actors.stores.views import ActorState, DueReminder, DueReminders, MarkedActor

__all__ = [
    "UNCHECKED",
    "ActorId",
    "ActorState",
    "DueReminder",
    "DueReminders",
    "Lease",
    "LeaseBeat",
    "MarkedActor",
    "MemoryState",
    "MemoryStateStore",
    "Refusal",
    "Refused",
    "Reminder",
    "ReminderId",
    "Save",
    "SaveResult",
    "Saved",
    "StateStore",
]
