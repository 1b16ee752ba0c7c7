"""The key-value store. The only module that knows LMDB: with another store, replace this one.

What the rest needs of a store: transactions that are durable when they end, one writer at a time over
all processes, and keys in order.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb
from durahub.errors import BackendCorruptionError, BackendError, BackendUnavailableError
from pydantic_core import PydanticSerializationError

from acme_durahub.settings import MIB, AcmeSettings

T = TypeVar("T")

PASSING = (lmdb.DiskError, lmdb.MapFullError, lmdb.ReadersFullError, lmdb.MemoryError)
DAMAGED = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError)


class Transaction:
    """A transaction: sees the store at one moment, and its own writes."""

    def __init__(self, inner: lmdb.Transaction, database: lmdb._Database) -> None:
        self._inner = inner
        self._database = database

    def get(self, key: bytes) -> bytes | None:
        """Return a value, or None if there is no such key."""
        value = self._inner.get(key)
        return None if value is None else bytes(value)

    def put(self, key: bytes, value: bytes = b"") -> None:
        """Set a value."""
        self._inner.put(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._inner.delete(key)

    def scan(self, prefix: bytes, *, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield what follows a prefix in its keys, and the values, in order; writes may go on meanwhile.

        Args:
            prefix: What the keys begin with.
            after: Only keys that come after `prefix + after`.
        """
        place = prefix + after + (b"\0" if after else b"")
        with self._inner.cursor() as cursor:
            # Found anew for each key, because the caller may remove the present one.
            while cursor.set_range(place) and (key := bytes(cursor.key())).startswith(prefix):
                yield key[len(prefix) :], bytes(cursor.value())
                place = key + b"\0"

    def clear(self, prefix: bytes) -> None:
        """Remove every key that begins with a prefix."""
        for rest, _ in self.scan(prefix):
            self._inner.delete(prefix + rest)

    def clear_all(self) -> None:
        """Remove everything."""
        self._inner.drop(self._database, delete=False)


class Store:
    """An open LMDB file. Its calls run one after the other in a thread of their own."""

    def __init__(self, settings: AcmeSettings, place: str) -> None:
        self._settings = settings
        self._place = place
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acme-durahub")
        self._environment: lmdb.Environment | None = None

    async def open(self) -> None:
        """Open the file, or make it.

        Raises:
            BackendError: It can't be opened; the message says why.
        """
        try:
            self._environment = await self._in_thread(lambda: _environments.open(self._settings))
        except BaseException:
            self._thread.shutdown()
            raise

    async def close(self) -> None:
        """Wait for calls in progress, then let go of the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._thread.shutdown)
        if self._environment is not None:
            _environments.close(self._environment)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` finds at one moment."""
        return await self._in_thread(lambda: self._transact(work, write=False))

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` completely, durable on return, or not at all, if it raises.

        Raises:
            BackendUnavailableError: Others had the store for too long; the work may still be done.
        """
        return await self._in_thread(lambda: self._transact(work, write=True))

    def _transact(self, work: Callable[[Transaction], T], *, write: bool) -> T:
        assert self._environment is not None
        with self._environment.begin(write=write) as inner:
            return work(Transaction(inner, self._environment.open_db(None, txn=inner)))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        with translate_errors(self._place):
            async with asyncio.timeout(self._settings.busy_timeout_s):
                # A call that has begun ends by itself when this wait is cancelled; `close` waits for it.
                return await loop.run_in_executor(self._thread, call)


class _Environments:
    """The open files of this process: LMDB allows each file to be opened only once in a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[lmdb.Environment, int]] = {}

    def open(self, settings: AcmeSettings) -> lmdb.Environment:
        path = settings.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            environment, users = self._open.get(path, (None, 0))
            if environment is None:
                environment = lmdb.open(
                    str(path), subdir=False, map_size=settings.map_size_mib * MIB, mode=0o600
                )
                # Processes that were killed left their places as readers, which would keep old pages.
                environment.reader_check()
            self._open[path] = (environment, users + 1)
            return environment

    def close(self, environment: lmdb.Environment) -> None:
        path = Path(environment.path())
        with self._lock:
            _, users = self._open.pop(path)
            if users > 1:
                self._open[path] = (environment, users - 1)
            else:
                environment.close()


_environments = _Environments()


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn what LMDB, the codec and the operating system raise into `BackendError`s.

    Args:
        place: What `Backend.describe` returns.
    """
    try:
        yield
    except TimeoutError as error:
        raise BackendUnavailableError(
            f"{place}: another process has kept the file locked for too long; is it stopped?"
        ) from error
    except PASSING as error:
        raise BackendUnavailableError(
            f"{place}: {error}; free disk space, or raise mapSizeMib for all processes"
        ) from error
    except DAMAGED as error:
        raise BackendCorruptionError(
            f"{place}: {error}; the file is damaged or not of LMDB: name another one"
        ) from error
    except lmdb.Error as error:
        raise BackendError(f"{place}: {error}") from error
    except (UnicodeEncodeError, PydanticSerializationError) as error:
        # Without the text: it belongs to the user.
        raise BackendError(f"{place}: a text holds a lone surrogate and can't be stored") from error
    except OSError as error:
        raise BackendError(f"{place}: {error.strerror}; check the path and its rights") from error
