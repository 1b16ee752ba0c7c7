"""The reference backend on a file, so that processes can share it, and be killed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from durahub.backend import (
    NATIVE,
    Backend,
    BackendServices,
    Capabilities,
    Hint,
    Support,
    SupportLevel,
    WorkDue,
)
from durahub.testing import ManualClock, MemoryBackend, MemorySettings, MemoryStore
from durahub.types import InstanceKey
from durahub_conformance import Harness, Probe

from .memory_harness import MemoryProbe


class FileStore(MemoryStore):
    """A memory store that is read from a file before each call, and written to it after."""

    def __init__(self, file: Path) -> None:
        self.file = file
        super().__init__()

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep every other process, and every other backend of this one, from the file."""
        with self.file.with_suffix(".lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def load(self) -> None:
        """Read the file, if there is one."""
        if self.file.exists():
            self.__dict__.update(pickle.loads(self.file.read_bytes()))

    def save(self) -> None:
        """Write the file: it is the old one or the new one at any moment."""
        kept = {k: v for k, v in self.__dict__.items() if k not in {"file", "listeners", "users"}}
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_bytes(pickle.dumps(kept))
        draft.replace(self.file)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.exclusively():
            self.load()
            yield
            self.save()


class FileBackend(MemoryBackend):
    """The memory backend with each call as one transaction on the file."""

    _store: FileStore

    @property
    def capabilities(self) -> Capabilities:
        hints = Support(SupportLevel.NONE, "a file tells nobody")
        return Capabilities(durable=NATIVE, multi_process=NATIVE, hints=hints, limits=NATIVE)

    async def open(self, services: BackendServices) -> None:
        self._store.file.with_suffix(".lock").touch()
        await super().open(services)

    async def create_hub(self) -> None:
        with self._store.transaction():
            await super().create_hub()

    async def delete_hub(self) -> None:
        with self._store.transaction():
            await super().delete_hub()

    async def schema_status(self) -> Any:
        with self._store.transaction():
            return await super().schema_status()

    async def register(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().register(*args)

    async def heartbeat(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().heartbeat(*args)

    async def unregister(self, *args: Any) -> None:
        with self._store.transaction():
            await super().unregister(*args)

    async def release_except(self, *args: Any) -> None:
        with self._store.transaction():
            await super().release_except(*args)

    async def apply(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().apply(*args)

    async def claim_instances(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().claim_instances(*args)

    async def claim_activities(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().claim_activities(*args)

    async def owners(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().owners(*args)

    async def forward(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().forward(*args)

    async def take_forwarded(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().take_forwarded(*args)

    async def get(self, *args: Any, **options: Any) -> Any:
        with self._store.transaction():
            return await super().get(*args, **options)

    async def history(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().history(*args)

    async def list_instances(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().list_instances(*args)

    async def list_ended(self, *args: Any) -> Any:
        with self._store.transaction():
            return await super().list_ended(*args)

    async def wakeups(self, *_: Any) -> AsyncIterator[Hint]:
        await asyncio.Event().wait()
        yield WorkDue()


class FileProbe(Probe):
    def __init__(self, file: Path) -> None:
        self._file = file

    def _inside(self) -> tuple[FileStore, MemoryProbe]:
        store = FileStore(self._file)
        store.load()
        return store, MemoryProbe(store)

    async def rows(self, key: InstanceKey) -> Any:
        return await self._inside()[1].rows(key)

    async def history(self, key: InstanceKey) -> Any:
        return await self._inside()[1].history(key)

    async def inbox(self, key: InstanceKey) -> Any:
        return await self._inside()[1].inbox(key)

    async def lose_event(self, key: InstanceKey) -> None:
        store, probe = self._inside()
        await probe.lose_event(key)
        store.save()


class FileHarness(Harness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self._file = directory / "store"

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In a child process: it is as broken as its parent.
        self.__dict__.update(state)
        from .mutants import registry  # noqa: PLC0415 - mutants are made of this module

        registry.break_as_told()

    def backend(self) -> Backend:
        return FileBackend(MemorySettings(), FileStore(self._file))

    @property
    def probe(self) -> Probe:
        return FileProbe(self._file)
