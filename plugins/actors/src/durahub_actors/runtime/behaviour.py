"""What an actor type is to the runtime: pure functions from a state and steps to a state, a save, an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from durahub.errors import DurahubError

from durahub_actors.stores import ActorId, ActorState, Save

S = TypeVar("S")
P = TypeVar("P")
V = TypeVar("V")
A = TypeVar("A")
P_contra = TypeVar("P_contra", contravariant=True)
V_contra = TypeVar("V_contra", contravariant=True)


class LeaseEndedError(DurahubError):
    """A lease in whose name something was to be saved does not live."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[S, A]):
    """What steps make of an actor.

    Attributes:
        state: The state after them; None: there is none.
        save: What makes it durable; None if nothing changes.
        conclude: Returns the answer once it is durable, given the reminders that were taken with it.
    """

    state: S | None
    save: Save | None
    conclude: Callable[[AbstractSet[str]], A]


class Behaviour(Protocol[S, P_contra, V_contra, A]):
    """An actor type. `S` is its state, `P` a step, `V` what all steps of one call share, `A` an answer.

    Attributes:
        keys: What of the stored state to load.
        prefixes: Likewise, by the beginnings of keys.
    """

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]

    def load(self, actor: ActorId, stored: ActorState) -> S:
        """Return the state in what is stored."""
        ...

    def is_blind(self, steps: Sequence[P_contra]) -> bool:
        """Whether to try steps without loading, as if there were no state: the save finds out."""
        ...

    def asks_for_reminders(self, state: S | None, steps: Sequence[P_contra]) -> bool:
        """Whether `run` needs to know which reminders the actor has."""
        ...

    def run(
        self,
        actor: ActorId,
        state: S | None,
        etag: str | None,
        steps: Sequence[P_contra],
        visit: V_contra,
        reminders: AbstractSet[str],
    ) -> Outcome[S, A]:
        """Carry out steps in their order, as one save that expects `etag`."""
        ...

    def refused(self, step: P_contra) -> A:
        """Answer a step whose reminders are not held as it needs."""
        ...

    def merged(self, answers: Sequence[A]) -> A:
        """Return one answer for steps that were carried out one after the other."""
        ...
