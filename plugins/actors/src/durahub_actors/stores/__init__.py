"""State stores: what the actors backend keeps its actors in."""

from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.saves import (
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
    "ActorId",
    "ActorState",
    "DueReminder",
    "DueReminders",
    "Lease",
    "LeaseBeat",
    "MarkedActor",
    "Refusal",
    "Refused",
    "Reminder",
    "ReminderId",
    "Save",
    "SaveResult",
    "Saved",
    "StateStore",
]
