"""The SQLite store as a file: several processes, other programs, and things that happen to files."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from durahub.clock import SystemClock
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    SchemaVersionError,
)
from durahub_actors.stores import ActorId, Save, Saved
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings, queries

_COUNTER = """
import asyncio, sys
from pathlib import Path
from durahub.clock import SystemClock
from durahub_actors.stores import ActorId, Save, Saved
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings

async def main(path, name, times):
    store = SqliteStateStore(SqliteStoreSettings(path=Path(path)))
    await store.open(SystemClock())
    await store.create()
    actor = ActorId("type", "counter")
    number = 0
    while number < times:
        (state,) = await store.read([actor], keys=["count"])
        count = int(state.values["count"]) if state else 0
        save = Save(
            actor=actor, expected=state.etag if state else None, etag=f"{name}-{number}-{count}",
            put={"count": b"%d" % (count + 1), f"{name}-{number}": b""},
        )
        if isinstance((await store.write([save]))[0], Saved):
            number += 1
            print(number, flush=True)
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def _count(path: Path, name: str, times: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _COUNTER, path, name, str(times)], stdout=subprocess.PIPE, text=True
    )


def _settings(path: Path) -> SqliteStoreSettings:
    return SqliteStoreSettings(path=path, busy_timeout=timedelta(seconds=0.2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "state.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStateStore]:
    store = SqliteStateStore(_settings(path))
    await store.open(SystemClock())
    await store.create()
    yield store
    await store.close()


def test_processes_share_a_file(path: Path) -> None:
    counting = [_count(path, name, 25) for name in ("a", "b")]
    for process in counting:
        process.communicate(timeout=60)
        assert process.returncode == 0
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT value FROM state WHERE key = 'count'").fetchone()
    connection.close()
    assert int(count) == 50


async def test_killed_process_leaves_what_it_acknowledged(path: Path) -> None:
    process = _count(path, "a", 10_000)
    assert process.stdout is not None
    for _ in range(20):
        acknowledged = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate(timeout=30)[0].split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    store = SqliteStateStore(_settings(path))
    await store.open(SystemClock())
    (state,) = await store.read([ActorId("type", "counter")], prefixes=[""])
    assert state is not None
    count = int(state.values["count"])
    # The last save may have been durable before it could say so.
    assert count in (acknowledged, acknowledged + 1)
    assert set(state.values) == {"count", *(f"a-{number}" for number in range(count))}
    assert await store.write([Save(actor=ActorId("t", "x"), etag="e")]) == (Saved(etag="e"),)
    await store.close()


async def test_busy_file_is_unavailable_after_a_while(store: SqliteStateStore, path: Path) -> None:
    save = Save(actor=ActorId("type", "x"), etag="e", put={"a": b"1"})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BackendUnavailableError, match="busyTimeout"):
        await store.write([save])
    assert await store.read([save.actor]) == (None,)
    other.execute("ROLLBACK")
    assert await store.write([save]) == (Saved(etag="e"),)
    other.close()


async def test_people_see_the_keys_of_dapr(store: SqliteStateStore, path: Path) -> None:
    await store.write([Save(actor=ActorId("type", "x"), etag="e", put={"a": b"1"})])
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM keys").fetchall() == [("type||x||a", b"1")]
    connection.close()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_files_are_their_owners_alone(store: SqliteStateStore, path: Path) -> None:
    await store.write([Save(actor=ActorId("type", "x"), etag="e")])
    assert {_mode(each) for each in path.parent.iterdir()} == {0o600}
    assert _mode(path.parent) == 0o700


async def test_removed_file_is_noticed(store: SqliteStateStore, path: Path) -> None:
    await asyncio.to_thread(path.unlink)
    with pytest.raises(BackendError, match="removed or replaced"):
        await store.write([Save(actor=ActorId("type", "x"), etag="e")])


async def test_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BackendCorruptionError, match="another program"):
        await SqliteStateStore(_settings(path)).open(SystemClock())
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(BackendCorruptionError, match="no SQLite database"):
        await SqliteStateStore(_settings(path)).open(SystemClock())


@pytest.mark.usefixtures("store")
async def test_newer_schema_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET schema_version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaVersionError) as caught:
        await SqliteStateStore(_settings(path)).open(SystemClock())
    assert (caught.value.found, caught.value.supported) == (99, 1)


async def test_odd_places_are_refused(store: SqliteStateStore, path: Path) -> None:
    link = path.with_name("link.db")
    link.hardlink_to(path)
    for odd, text in (
        (link, "hard links"),
        (path.parent, "directory"),
        (Path("/dev/null"), "device"),
    ):
        with pytest.raises(BackendError, match=text):
            await SqliteStateStore(_settings(odd)).open(SystemClock())
    symbolic = path.with_name("symbolic.db")
    link.unlink()
    symbolic.symlink_to(path)
    await store.write([Save(actor=ActorId("type", "x"), etag="e")])
    other = SqliteStateStore(_settings(symbolic))
    await other.open(SystemClock())
    (state,) = await other.read([ActorId("type", "x")])
    assert state is not None
    await other.close()


async def test_store_in_memory_is_its_own() -> None:
    stores = [SqliteStateStore(SqliteStoreSettings(path=None)) for _ in range(2)]
    for store in stores:
        await store.open(SystemClock())
        await store.create()
        assert not store.is_durable
        assert not store.is_shared
    save = Save(actor=ActorId("type", "x"), etag="e")
    await stores[0].write([save])
    assert await stores[1].read([save.actor]) == (None,)
    for store in stores:
        await store.close()


async def test_cancelled_opening_leaves_nothing_open(path: Path) -> None:
    store = SqliteStateStore(_settings(path))
    opening = asyncio.ensure_future(store.open(SystemClock()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await store.close()
    await store.open(SystemClock())
    await store.create()
    await store.close()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("statement", "parameters", "index"),
    [
        (queries._DUE, ("q", 1, 1), "reminders_free"),
        (queries._NEXT, ("q", 1), "reminders_free"),
        (queries._HELD, ("l",), "reminders_held"),
        (queries._LABELS, ("q",), "reminders_labelled"),
        (queries._MARKED, ("k", "t", "i", 1, "x", 1), "marks_ranked"),
        (queries._PREFIX, (1, "a", b"a\xff"), "PRIMARY KEY"),
    ],
)
async def test_reads_use_an_index_and_sort_nothing(
    path: Path, statement: str, parameters: tuple[object, ...], index: str
) -> None:
    connection = sqlite3.connect(path)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    connection.close()
    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step], plan
