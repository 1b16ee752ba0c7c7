"""A small runtime for virtual actors: loaded when they are needed, one turn at a time, saved in groups.

It knows nothing of workflows.
"""

from durahub_actors.runtime.background import Background
from durahub_actors.runtime.behaviour import Behaviour, LeaseEndedError, Outcome
from durahub_actors.runtime.cache import ActorCache, Resident
from durahub_actors.runtime.locks import ActorLocks
from durahub_actors.runtime.runtime import Runtime
from durahub_actors.runtime.writer import GroupWriter

__all__ = [
    "ActorCache",
    "ActorLocks",
    "Background",
    "Behaviour",
    "GroupWriter",
    "LeaseEndedError",
    "Outcome",
    "Resident",
    "Runtime",
]
