"""Group commit: what waits at the same moment is written with one call of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from durahub_actors.stores import Save, SaveResult, StateStore


class GroupWriter:
    """Carries saves of all callers to a store, one call of it at a time.

    Args:
        store: Where to.
        expect_flush: Called when something begins to wait for others to come along; has `flush` called soon.
    """

    def __init__(self, store: StateStore, expect_flush: Callable[[], None]) -> None:
        self._store = store
        self._expect_flush = expect_flush
        self._waiting: list[tuple[Sequence[Save], asyncio.Future[Sequence[SaveResult]]]] = []
        self._later: list[Save] = []
        self._turn = asyncio.Lock()

    def later(self, save: Save) -> None:
        """Write a save along with the next ones, whatever becomes of it."""
        if not self._later:
            self._expect_flush()
        self._later.append(save)

    async def flush(self) -> None:
        """Write what waits for others to come along."""
        async with self._turn:
            if self._later:
                await self._write_waiting()

    async def write(self, saves: Sequence[Save]) -> Sequence[SaveResult]:
        """Return the results of saves, in their order.

        Cancelled, what waits may still be written.

        Raises:
            BackendError: As the store; of the callers whose saves were written together each gets it.
        """
        if not saves:
            return ()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[SaveResult]] = loop.create_future()
        self._waiting.append((saves, future))
        # Whoever comes first writes for all who wait; the others find their results.
        async with self._turn:
            if not future.done():
                await self._write_waiting()
        return future.result()

    async def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        later, self._later = self._later, []
        together = [*(save for saves, _ in batch for save in saves), *later]
        try:
            results = await self._store.write(together)
        except BaseException as error:
            self._later = later + self._later
            for _, future in batch:
                future.set_exception(error)
                future.exception()
            raise
        start = 0
        for saves, future in batch:
            future.set_result(results[start : start + len(saves)])
            start += len(saves)
