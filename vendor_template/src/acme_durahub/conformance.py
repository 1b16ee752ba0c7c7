"""How the conformance kit makes this backend, and how it looks past it at the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from durahub.backend import Backend
from durahub.testing import ManualClock
from durahub.types import InstanceKey
from durahub_conformance import Harness, Probe

from acme_durahub import keys, rows
from acme_durahub.backend import AcmeBackend
from acme_durahub.kv import Store, Transaction
from acme_durahub.settings import AcmeSettings

T = TypeVar("T")

TABLES = {
    "instance": keys.INSTANCES,
    "payloads": keys.PAYLOADS,
    "history": keys.HISTORY,
    "inbox": keys.INBOX,
    "timers": keys.TIMERS,
    "tasks": keys.TASKS,
}


class AcmeProbe(Probe):
    """Reads the keys of an instance, without the code that decides what is written."""

    def __init__(self, settings: AcmeSettings) -> None:
        self._settings = settings

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        """Return every document and row of an instance as stored; owner and wake-up time are in the first."""
        return {name: await self._scan(table, key) for name, table in TABLES.items()}

    async def history(self, key: InstanceKey) -> Sequence[bytes]:
        """Return the committed events."""
        return [event for _, event in await self._scan(keys.HISTORY, key)]

    async def inbox(self, key: InstanceKey) -> Sequence[bytes]:
        """Return the payloads of the waiting messages."""
        stored = await self._scan(keys.INBOX, key)
        return [rows.MESSAGE.decode(document).message.payload for _, document in stored]

    async def lose_event(self, key: InstanceKey) -> None:
        """Remove the first event."""
        first = keys.HISTORY + keys.instance_address(key) + keys.number(0)
        store = await self._open()
        await store.write(lambda txn: txn.delete(first))
        await store.close()

    async def _scan(self, table: bytes, key: InstanceKey) -> list[tuple[bytes, bytes]]:
        def work(txn: Transaction) -> list[tuple[bytes, bytes]]:
            return list(txn.scan(table + keys.instance_address(key)))

        store = await self._open()
        found = await store.read(work)
        await store.close()
        return found

    async def _open(self) -> Store:
        store = Store(self._settings, "probe")
        await store.open()
        return store


class AcmeHarness(Harness):
    """One file per test, and a clock that tests move instead of waiting.

    A store with a clock of its own, as of a server, leaves `clock` None. Then tests really wait, for `moment`
    at a time, which has to be longer than some calls on a busy machine.
    """

    def __init__(self, directory: Path) -> None:
        """Begin at a fixed time."""
        super().__init__(directory)
        self.clock = ManualClock()

    @property
    def backend_settings(self) -> AcmeSettings:
        """What every backend of a test is made with."""
        return AcmeSettings.model_validate({"path": self.directory / "hub.lmdb", **self.given})

    def backend(self) -> Backend:
        """Return a closed backend on the test's file."""
        return AcmeBackend(self.backend_settings)

    @property
    def probe(self) -> Probe:
        """Return the way past the backend."""
        return AcmeProbe(self.backend_settings)
