"""Carries out steps of actors: loads, runs, saves all with one write, and redoes what was refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic

from durahub.errors import BackendUnavailableError

from durahub_actors.runtime.behaviour import A, Behaviour, LeaseEndedError, Outcome, P, S, V
from durahub_actors.runtime.cache import ActorCache, Resident
from durahub_actors.runtime.writer import GroupWriter
from durahub_actors.stores import ActorId, Refusal, Saved, SaveResult, StateStore

MOST_ATTEMPTS = 20
"""How often steps are redone because somebody else changed the actor meanwhile."""


@dataclass(slots=True)
class _Work(Generic[P, A]):
    """What is left to do with one actor: groups of steps, each of them one save."""

    groups: deque[tuple[P, ...]]
    answers: list[A] = field(default_factory=list)
    attempts: int = 0
    is_fresh: bool = False


class Runtime(Generic[S, P, V, A]):
    """The actors of one type, as far as this process works with them.

    Args:
        store: Where they are stored.
        behaviour: What they do.
        writer: Saves, together with what others save.
        monotonic_s: Tells how long an actor has not been used.
    """

    def __init__(
        self,
        store: StateStore,
        behaviour: Behaviour[S, P, V, A],
        writer: GroupWriter,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._behaviour = behaviour
        self._writer = writer
        self._monotonic_s = monotonic_s
        self._cache: ActorCache[S] = ActorCache()

    async def call(self, steps: Mapping[ActorId, Sequence[P]], visit: V) -> dict[ActorId, A]:
        """Carry out the steps of each actor in their order, and return an answer for each.

        The caller has the actors to itself in this process (`ActorLocks`). What other processes do with
        them is found out by saving. The steps of one actor are one save, unless one of them is refused;
        those of different actors are independent of each other.

        Raises:
            LeaseEndedError: A lease that must live has ended; steps may have been saved before that.
            BackendUnavailableError: The store can't be reached, or others change an actor all the time;
                some steps may have taken effect.
            BackendError: As the behaviour raises it, before anything is saved.
        """
        works = {actor: _Work[P, A](deque([tuple(one)])) for actor, one in steps.items() if one}
        try:
            while pending := {actor: work for actor, work in works.items() if work.groups}:
                await self._round(pending, visit)
        except BaseException:
            # Whether it was saved is unknown.
            for actor in works:
                self._cache.drop(actor)
            raise
        return {
            actor: work.answers[0]
            if len(work.answers) == 1
            else self._behaviour.merged(work.answers)
            for actor, work in works.items()
        }

    async def states(self, actors: Iterable[ActorId]) -> dict[ActorId, S]:
        """Return the states of those actors that have one, as they are in the store now."""
        wanted = list(dict.fromkeys(actors))
        unknown = [
            actor for actor in wanted if self._store.is_shared or self._cached(actor) is None
        ]
        await self._load(unknown)
        found = ((actor, self._cached(actor)) for actor in wanted)
        return {
            actor: resident.state
            for actor, resident in found
            if resident is not None and resident.state is not None
        }

    def known(self, actor: ActorId) -> S | None:
        """Return the state of an actor, if it is at hand; it may be outdated."""
        resident = self._cached(actor)
        return None if resident is None else resident.state

    def deactivate(self, idle_s: float) -> None:
        """Forget actors that nobody has used for some seconds."""
        self._cache.deactivate(self._monotonic_s() - idle_s)

    def drop(self, actors: Iterable[ActorId]) -> None:
        """Forget actors with which somebody else works."""
        for actor in actors:
            self._cache.drop(actor)

    def forget(self) -> None:
        """Forget all actors."""
        self._cache.clear()

    def _cached(self, actor: ActorId) -> Resident[S] | None:
        return self._cache.get(actor, self._monotonic_s())

    async def _round(self, works: Mapping[ActorId, _Work[P, A]], visit: V) -> None:
        """Carry out the next steps of each actor."""
        residents = await self._residents(works)
        outcomes = await self._run(works, residents, visit)
        stale = {
            actor: works[actor]
            for actor, outcome in outcomes.items()
            if outcome.save is None and self._is_doubtful(works[actor])
        }
        if stale:
            # What is refused, or changes nothing, is told only of what the store says now.
            for actor in stale:
                self._cache.drop(actor)
            outcomes |= await self._run(stale, await self._residents(stale), visit)
        saved = [(actor, outcome) for actor, outcome in outcomes.items() if outcome.save]
        for actor, outcome in outcomes.items():
            if outcome.save is None:
                self._finish(works[actor], outcome.conclude(frozenset()))
        results = await self._writer.write([outcome.save for _, outcome in saved if outcome.save])
        is_ended = False
        for (actor, outcome), result in zip(saved, results, strict=True):
            is_ended |= self._take_in(actor, works[actor], outcome, result)
        if is_ended:
            raise LeaseEndedError("a lease has ended")

    def _is_doubtful(self, work: _Work[P, A]) -> bool:
        return self._store.is_shared and not work.is_fresh

    async def _residents(self, works: Mapping[ActorId, _Work[P, A]]) -> dict[ActorId, Resident[S]]:
        """Return what is known of actors, after loading what is not, unless they may go blind."""
        missing: list[ActorId] = []
        for actor, work in works.items():
            if self._cached(actor) is None:
                if work.attempts == 0 and self._behaviour.is_blind(work.groups[0]):
                    continue
                missing.append(actor)
        loaded = await self._load(missing)
        for actor in missing:
            works[actor].is_fresh = True
        return {
            actor: loaded.get(actor) or self._cached(actor) or Resident(None, None)
            for actor in works
        }

    async def _load(self, actors: Sequence[ActorId]) -> dict[ActorId, Resident[S]]:
        if not actors:
            return {}
        keys, prefixes = self._behaviour.keys, self._behaviour.prefixes
        found = await self._store.read(actors, keys=keys, prefixes=prefixes)
        loaded: dict[ActorId, Resident[S]] = {}
        for actor, stored in zip(actors, found, strict=True):
            if stored is None:
                self._cache.drop(actor)
                continue
            state = self._behaviour.load(actor, stored)
            self._cache.put(actor, state, stored.etag, self._monotonic_s())
            loaded[actor] = Resident(state, stored.etag)
        return loaded

    async def _run(
        self,
        works: Mapping[ActorId, _Work[P, A]],
        residents: Mapping[ActorId, Resident[S]],
        visit: V,
    ) -> dict[ActorId, Outcome[S, A]]:
        outcomes: dict[ActorId, Outcome[S, A]] = {}
        for actor, work in works.items():
            resident, steps = residents[actor], work.groups[0]
            reminders: AbstractSet[str] = frozenset()
            if self._behaviour.asks_for_reminders(resident.state, steps):
                reminders = {found.name for found in await self._store.reminders(actor)}
            outcomes[actor] = self._behaviour.run(
                actor, resident.state, resident.etag, steps, visit, reminders
            )
        return outcomes

    def _take_in(
        self, actor: ActorId, work: _Work[P, A], outcome: Outcome[S, A], result: SaveResult
    ) -> bool:
        """Take in the result of a save, and return whether a lease has ended."""
        if isinstance(result, Saved):
            if outcome.state is None or result.etag is None:
                self._cache.drop(actor)
            else:
                self._cache.put(actor, outcome.state, result.etag, self._monotonic_s())
            self._finish(work, outcome.conclude(result.taken))
        elif result.refusal is Refusal.HOLDER:
            self._split(work)
        elif result.refusal is Refusal.ETAG:
            self._cache.drop(actor)
            work.attempts += 1
            if work.attempts > MOST_ATTEMPTS:
                raise BackendUnavailableError(f"others change {actor.id!r} all the time")
        return not isinstance(result, Saved) and result.refusal is Refusal.LEASE

    def _split(self, work: _Work[P, A]) -> None:
        """Find the step that was refused among several."""
        steps = work.groups.popleft()
        if len(steps) == 1:
            work.answers.append(self._behaviour.refused(steps[0]))
        else:
            work.groups.extendleft(reversed([(step,) for step in steps]))

    def _finish(self, work: _Work[P, A], answer: A) -> None:
        work.answers.append(answer)
        work.groups.popleft()
        work.is_fresh = True
