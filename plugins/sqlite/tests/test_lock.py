from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from durahub.backend import BackendServices
from durahub.errors import BackendLockedError
from durahub_sqlite import SqliteBackend

HOLDER = """
import asyncio, sys
from durahub.backend import BackendServices
from durahub.clock import SystemClock
from durahub_sqlite import SqliteBackend, SqliteSettings

async def main():
    backend = SqliteBackend(SqliteSettings(connection_string=sys.argv[1]))
    await backend.open(BackendServices(clock=SystemClock()))
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def holder_of(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"open\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_second_process_is_refused_at_once_and_told_by_whom(
    new_backend: Callable[[], SqliteBackend], services: BackendServices, path: Path
) -> None:
    async with holder_of(path) as process:
        async with asyncio.timeout(10):
            with pytest.raises(BackendLockedError) as caught:
                await new_backend().open(services)
    message = str(caught.value)
    assert f"pid {process.pid} on " in message
    assert " since 20" in message
    assert str(path) in message


async def test_lock_ends_with_a_killed_process(
    new_backend: Callable[[], SqliteBackend], services: BackendServices, path: Path
) -> None:
    async with holder_of(path) as process:
        process.kill()
        await process.wait()
        await new_backend().open(services)


async def test_same_process_is_refused_by_any_way_to_the_file(
    new_backend: Callable[..., SqliteBackend],
    services: BackendServices,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await new_backend().open(services)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for way in (str(path), str(link), "sqlite:///hub.db"):
        with pytest.raises(BackendLockedError, match=f"pid {os.getpid()} "):
            await new_backend(way).open(services)


async def test_closing_unlocks(
    new_backend: Callable[[], SqliteBackend], services: BackendServices
) -> None:
    for _ in range(2):
        backend = new_backend()
        await backend.open(services)
        await backend.close()


async def test_process_that_does_not_close_ends_all_the_same(path: Path) -> None:
    script = HOLDER.replace("await asyncio.Event().wait()", "globals()['kept'] = backend")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(path)), stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(10):
        assert await process.wait() == 0
