"""The kit of state stores can fail: each of these small faults of the memory store is noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from durahub.testing import ManualClock
from durahub_actors.stores import (
    ActorState,
    DueReminders,
    Lease,
    LeaseBeat,
    MemoryState,
    MemoryStateStore,
    Refused,
    Reminder,
    Save,
    Saved,
    SaveResult,
    StateStore,
)
from durahub_conformance.state_stores import StateStoreHarness, laws
from durahub_conformance.state_stores.law import LAWS
from durahub_conformance.state_stores.stand import open_stand
from durahub_conformance.state_stores.topics import models
from hypothesis import Phase


class _ForgetsExpected(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        return await super().write(
            [replace(save, expected=Save(actor=save.actor).expected) for save in saves]
        )


class _ForgetsLeases(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        living = {lease.name for lease in await self.leases()}
        kept = [
            replace(save, leases=tuple(name for name in save.leases if name in living))
            for save in saves
        ]
        return await super().write(kept)


class _ForgetsHeld(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        return await super().write([replace(save, held={}) for save in saves])


class _StopsAtARefusal(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        results: list[SaveResult] = []
        for save in saves:
            if results and isinstance(results[-1], Refused):
                results.append(results[-1])
            else:
                results.extend(await super().write([save]))
        return tuple(results)


class _WritesBackwards(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        return (await super().write(saves[::-1]))[::-1]


class _WritesInTwoSteps(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        import asyncio  # noqa: PLC0415

        results = await super().write([replace(save, remind={}) for save in saves])
        await asyncio.sleep(0)
        late = [Save(actor=save.actor, leases=save.leases, remind=save.remind) for save in saves]
        return results if not any(save.remind for save in saves) else await super().write(late)


class _ErasesLast(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        results: list[SaveResult] = []
        for save in saves:
            (result,) = await super().write([replace(save, erase=False)])
            if save.erase and isinstance(result, Saved):
                (result,) = await super().write([Save(actor=save.actor, erase=True)])
            results.append(result)
        return tuple(results)


class _ReleasesWhatIsPutAgain(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        def released(reminders: Any) -> dict[str, Reminder]:
            return {name: replace(each, release=True) for name, each in reminders.items()}

        return await super().write([replace(save, remind=released(save.remind)) for save in saves])


class _TellsNextTooOften(MemoryStateStore):
    async def due(self, queue: str, limit: int) -> DueReminders:
        told = await super().due(queue, limit)
        everything = await super().due(queue, 10**6)
        return replace(told, next_due_at=everything.next_due_at)


class _FindsWhatIsNotDue(MemoryStateStore):
    async def due(self, queue: str, limit: int) -> DueReminders:
        free, due = self._state.reminders.free(queue, self._now())
        told = await super().due(queue, limit)
        early = tuple(self._due(found) for _, _, found in free[due:limit])
        return replace(told, reminders=told.reminders + early)


class _EndsWithoutFreeing(MemoryStateStore):
    async def release(self, name: str) -> None:
        self._state.leases.pop(name, None)


class _UsesNamesAgain(MemoryStateStore):
    async def acquire(self, lease: Lease) -> LeaseBeat:
        if lease.name not in self._state.leases:
            self._state.lease_names.discard(lease.name)
        return await super().acquire(lease)


class _EndsItself(MemoryStateStore):
    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        self._end_overdue(self._now(), ())
        return await super().renew(names)


class _RenewsTheRest(MemoryStateStore):
    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        await super().renew([name for name in names if name in self._state.leases])
        return await super().renew(names)


class _EndsNothing(MemoryStateStore):
    def _end_overdue(self, now: datetime, alive: Sequence[str]) -> tuple[Lease, ...]:
        return ()


class _TellsOfNamedLeases(MemoryStateStore):
    def _next_overdue_at(self, but: Sequence[str]) -> datetime | None:
        return super()._next_overdue_at(())


class _TellsOfTheLast(MemoryStateStore):
    def _next_overdue_at(self, but: Sequence[str]) -> datetime | None:
        others = [one for name, one in self._state.leases.items() if name not in but]
        return max((one.overdue_at for one in others), default=None)


def _utf_16(pair: tuple[str, bytes]) -> bytes:
    return pair[0].encode("utf-16-be")


class _OrdersByText(MemoryStateStore):
    async def read(self, *args: Any, **kwargs: Any) -> tuple[ActorState | None, ...]:
        found = await super().read(*args, **kwargs)
        return tuple(
            state and replace(state, values=dict(sorted(state.values.items(), key=_utf_16)))
            for state in found
        )


class _BeginsAtAfter(MemoryStateStore):
    async def marked(self, *args: Any, after: tuple[int, str] | None, **kwargs: Any) -> Any:
        earlier = None if after is None else (after[0], after[1][:-1])
        return await super().marked(*args, after=earlier, **kwargs)


class _CutsAtNul(MemoryStateStore):
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        def cut(values: Any) -> dict[str, Any]:
            return {key.split("\x00")[0]: value for key, value in values.items()}

        return await super().write([replace(save, put=cut(save.put)) for save in saves])


class _DeletesAtCreate(MemoryStateStore):
    async def create(self) -> None:
        self._open_now()
        await self.delete()
        await super().create()


@dataclass(frozen=True)
class Mutant:
    store: type[MemoryStateStore]
    kills: tuple[str, ...]


MUTANTS = (
    Mutant(_ForgetsExpected, ("SAV-02", "SAV-03", "SAV-05", "SAV-12", "CON-01")),
    Mutant(_ForgetsLeases, ("SAV-05", "LEA-09", "CON-01")),
    Mutant(_ForgetsHeld, ("SAV-06", "SAV-13", "REM-12", "CON-04", "MOD-01")),
    Mutant(_StopsAtARefusal, ("SAV-12", "SAV-13")),
    Mutant(_WritesBackwards, ("SAV-13", "SAV-14")),
    Mutant(_WritesInTwoSteps, ("CON-08",)),
    Mutant(_ErasesLast, ("SAV-09", "SAV-11")),
    Mutant(_ReleasesWhatIsPutAgain, ("REM-08",)),
    Mutant(_TellsNextTooOften, ("REM-03",)),
    Mutant(_FindsWhatIsNotDue, ("REM-01", "REM-17")),
    Mutant(_EndsWithoutFreeing, ("LEA-10", "CON-07", "MOD-01")),
    Mutant(_UsesNamesAgain, ("LEA-02",)),
    Mutant(_EndsItself, ("LEA-08",)),
    Mutant(_RenewsTheRest, ("LEA-07",)),
    Mutant(_EndsNothing, ("LEA-04", "LEA-05")),
    Mutant(_TellsOfNamedLeases, ("LEA-14",)),
    Mutant(_TellsOfTheLast, ("LEA-14",)),
    Mutant(_OrdersByText, ("REA-02",)),
    Mutant(_BeginsAtAfter, ("REA-06", "TXT-02")),
    Mutant(_CutsAtNul, ("TXT-01",)),
    Mutant(_DeletesAtCreate, ("LIF-04",)),
)


class _Harness(StateStoreHarness):
    def __init__(self, directory: Path, make: Callable[[MemoryState], StateStore]) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self._state = MemoryState()
        self._make = make

    def store(self) -> StateStore:
        return self._make(self._state)


async def _holds(law_id: str, directory: Path, make: type[MemoryStateStore]) -> bool:
    async with open_stand(_Harness(directory, make)) as stand:
        try:
            await LAWS[law_id].test(None, stand)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a fault shows in any way
            return False
    return True


@pytest.fixture(autouse=True)
def failures_are_only_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "PHASES", (Phase.generate,))


@pytest.mark.parametrize(
    ("store", "law_id"),
    [
        pytest.param(mutant.store, law_id, id=f"{mutant.store.__name__}-{law_id}")
        for mutant in MUTANTS
        for law_id in mutant.kills
    ],
)
async def test_law_notices_the_fault(
    store: type[MemoryStateStore], law_id: str, tmp_path: Path
) -> None:
    assert not await _holds(law_id, tmp_path, store)


def test_laws_have_ids_of_their_own() -> None:
    assert len({law.law_id for law in laws()}) == len(laws()) > 60
