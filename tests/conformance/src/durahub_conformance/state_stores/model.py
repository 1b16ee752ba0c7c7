"""Programs for two state stores, and whether both do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from durahub_actors.stores import (
    UNCHECKED,
    ActorId,
    ActorState,
    Lease,
    MemoryStateStore,
    Reminder,
    Save,
    StateStore,
)
from hypothesis import strategies as st

_ACTORS = ("x", "y")
_KEYS = ("a", "b", "c-0", "c-1")
_INDEXES = ("i", "j")
_NAMES = ("wake", "task-1", "task-2")
_QUEUES = ("q", "r")
_LEASES = ("l", "m", "n")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveStep:
    """A save, before the names of this run and the etags of this moment are in it.

    Attributes:
        expected: One of `any`, `none`, `current`, `other`.
        has_etag: Whether the state changes.
        fields: The other fields of `Save`, with reminders as pairs of hours and fields.
    """

    expected: str
    has_etag: bool
    actor: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteStep:
    """One call of `write`."""

    saves: tuple[SaveStep, ...]


@dataclass(frozen=True, slots=True)
class ReleaseStep:
    """A lease ends, and a new one takes its place."""

    lease: str


Step = WriteStep | ReleaseStep


def steps() -> st.SearchStrategy[Step]:
    """Return steps of programs."""
    writes = st.lists(_saves(), min_size=1, max_size=4).map(lambda saves: WriteStep(tuple(saves)))
    return st.one_of(writes, writes, writes, st.sampled_from(_LEASES).map(ReleaseStep))


@st.composite
def _saves(draw: st.DrawFn) -> SaveStep:
    has_etag = draw(st.booleans())
    fields: dict[str, Any] = {"erase": draw(st.sampled_from([False] * 5 + [True]))}
    if has_etag:
        fields["put"] = draw(_some(_KEYS, st.binary(max_size=3)))
        fields["delete"] = tuple(draw(_some(_KEYS, st.none())))
        fields["mark"] = draw(_some(_INDEXES, st.integers(0, 5)))
        fields["unmark"] = tuple(draw(_some(_INDEXES, st.none())))
    fields["remind"] = draw(_some(_NAMES, _reminders()))
    fields["forget"] = tuple(draw(_some(_NAMES, st.none())))
    fields["hold"] = draw(_some(_NAMES, _holders()))
    if draw(st.integers(0, 3)) == 0:
        fields["held"] = draw(_some(_NAMES, _holders()))
    return SaveStep(
        expected=draw(st.sampled_from(["any", "current", "current", "none", "other"])),
        has_etag=has_etag,
        actor=draw(st.sampled_from(_ACTORS)),
        fields=fields,
    )


def _some(names: tuple[str, ...], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), values, max_size=2)


def _holders() -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.sampled_from(_LEASES))


def _reminders() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "hours": st.integers(-3, 3).filter(bool),
            "queue": st.sampled_from(_QUEUES),
            "label": st.sampled_from(["", "p", "q"]),
            "payload": st.binary(max_size=2),
            "release": st.booleans(),
            "take": _holders(),
        }
    )


@dataclass(slots=True)
class Pair:
    """Two stores that do the same, in a part of them that nobody else uses.

    Attributes:
        store: The store under test.
        model: What it is compared to.
        space: Begins all names, so that runs do not meet.
        origin: Moments are told from here.
    """

    store: StateStore
    model: MemoryStateStore
    space: str
    origin: datetime
    _etags: int = 0
    _orders: int = 0
    _leases: dict[str, int] = field(default_factory=dict)

    async def run(self, program: list[Step]) -> None:
        """Carry out a program on both.

        Raises:
            AssertionError: A result or what is stored afterwards is not the same.
        """
        for lease in _LEASES:
            await self._acquire(lease)
        for step in program:
            if isinstance(step, ReleaseStep):
                await self._release(step.lease)
            else:
                saves = [await self._save(save) for save in step.saves]
                assert await self.store.write(saves) == await self.model.write(saves)
            assert await self._observe(self.store) == await self._observe(self.model)
        for lease in _LEASES:
            for store in (self.store, self.model):
                await store.release(self._lease(lease))
        assert await self._observe(self.store) == await self._observe(self.model)

    async def _acquire(self, name: str) -> None:
        self._leases[name] = self._leases.get(name, 0) + 1
        lease = Lease(name=self._lease(name), time_to_live=timedelta(days=1))
        for store in (self.store, self.model):
            await store.acquire(lease)

    async def _release(self, name: str) -> None:
        for store in (self.store, self.model):
            await store.release(self._lease(name))
        assert await self._observe(self.store) == await self._observe(self.model)
        await self._acquire(name)

    def _lease(self, name: str) -> str:
        return f"{self.space}-{name}-{self._leases[name]}"

    async def _save(self, step: SaveStep) -> Save:
        actor = ActorId(f"{self.space}-type", step.actor)
        fields = dict(step.fields)
        fields["remind"] = {
            name: self._reminder(**reminder) for name, reminder in fields["remind"].items()
        }
        for name in ("hold", "held"):
            fields[name] = {
                reminder: holder and self._lease(holder)
                for reminder, holder in fields.get(name, {}).items()
            }
        self._etags += 1
        return Save(
            actor=actor,
            expected=await self._expected(actor, step.expected),
            etag=f"{self.space}-{self._etags}" if step.has_etag else None,
            leases=tuple(self._lease(name) for name in _LEASES),
            **fields,
        )

    async def _expected(self, actor: ActorId, which: str) -> Any:
        (state,) = await self.model.read([actor])
        current = None if state is None else state.etag
        return {"any": UNCHECKED, "none": None, "current": current, "other": "other"}[which]

    def _reminder(self, *, hours: int, queue: str, take: str | None, **fields: Any) -> Reminder:
        # No two have the same place, so that the order of what is due is known.
        self._orders += 1
        return Reminder(
            queue=f"{self.space}-{queue}",
            due_at=self.origin + timedelta(hours=hours),
            order=self._orders,
            take=take and self._lease(take),
            **fields,
        )

    async def _observe(self, store: StateStore) -> list[Any]:
        """Return everything that the store shows."""
        actor_type = f"{self.space}-type"
        actors = [ActorId(actor_type, each) for each in _ACTORS]
        seen: list[Any] = [
            _in_order(await store.read(actors, prefixes=[""])),
            _in_order(await store.read(actors, keys=["a"], prefixes=["c-"])),
        ]
        for index in _INDEXES:
            page = await store.marked(actor_type, index, after=None, limit=1, key="a")
            seen.append(page)
            seen.append(await store.marked(actor_type, index, after=(2, "x"), limit=5, key="b"))
        for queue in _QUEUES:
            name = f"{self.space}-{queue}"
            for limit in (0, 1, 9):
                told = await store.due(name, limit)
                seen.extend((told.reminders, told.next_due_at))
            seen.append(dict(await store.held_labels(name)))
        seen.extend([sorted(await store.reminders(actor)) for actor in actors])
        seen.extend([sorted(await store.held(self._lease(lease))) for lease in _LEASES])
        return seen


def _in_order(states: tuple[ActorState | None, ...]) -> list[Any]:
    return [None if state is None else (state.etag, list(state.values.items())) for state in states]
