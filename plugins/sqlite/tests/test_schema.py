from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from durahub.backend import Backend, BackendServices, SchemaStatus
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    SchemaVersionError,
    TaskHubNotFoundError,
)
from durahub.types import SessionId
from durahub_sqlite import SqliteBackend

NewBackend = Callable[..., SqliteBackend]

NOBODY = 65534


def run_sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def create_hub(backend: Backend, services: BackendServices) -> None:
    await backend.open(services)
    await backend.create_hub()
    await backend.close()


async def test_newer_schema_is_refused(
    new_backend: NewBackend, services: BackendServices, path: Path
) -> None:
    await create_hub(new_backend(), services)
    run_sql(path, "UPDATE meta SET schema_version = 7")
    with pytest.raises(SchemaVersionError, match="newer durahub-sqlite") as caught:
        await new_backend().open(services)
    assert (caught.value.found, caught.value.supported) == (7, 1)


async def test_file_of_another_program_is_refused_and_left_alone(
    new_backend: NewBackend, services: BackendServices, path: Path
) -> None:
    run_sql(path, "CREATE TABLE theirs (x)")
    before = content_of(path)
    with pytest.raises(
        BackendCorruptionError, match=r"hub\.db is a SQLite database of another program"
    ):
        await new_backend().open(services)
    assert content_of(path) == before


async def test_lost_version_is_damage(
    new_backend: NewBackend, services: BackendServices, path: Path
) -> None:
    await create_hub(new_backend(), services)
    run_sql(path, "DELETE FROM meta")
    with pytest.raises(BackendCorruptionError, match=r"hub\.db lost its schema version"):
        await new_backend().open(services)
    run_sql(path, "DROP TABLE meta")
    with pytest.raises(BackendCorruptionError, match=r"hub\.db lost its schema version"):
        await new_backend().open(services)


async def test_file_that_is_no_database_is_refused(
    new_backend: NewBackend, services: BackendServices, path: Path
) -> None:
    write(path, b"no database at all, but long enough to be read as a header " * 20)
    with pytest.raises(BackendCorruptionError, match="no SQLite database"):
        await new_backend().open(services)


async def test_damaged_page_is_reported(
    new_backend: NewBackend, services: BackendServices, path: Path
) -> None:
    await create_hub(new_backend(), services)
    content = content_of(path)
    write(path, content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(BackendCorruptionError, match="damaged"):
        await new_backend().open(services)


async def test_directory_as_path_is_refused(
    new_backend: NewBackend, services: BackendServices, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BackendError, match="folder: Is a directory at ") as caught:
        await new_backend(str(tmp_path / "folder")).open(services)
    assert not isinstance(caught.value, BackendUnavailableError)


async def test_symbolic_links_in_a_circle_are_refused(
    new_backend: NewBackend, services: BackendServices, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BackendError, match="symbolic links"):
        await new_backend(str(tmp_path / "loop")).open(services)


async def test_file_with_two_names_is_refused(
    new_backend: NewBackend, services: BackendServices, tmp_path: Path
) -> None:
    path = tmp_path / "hub.db"
    path.touch()
    (tmp_path / "other.db").hardlink_to(path)
    with pytest.raises(BackendError, match="2 names"):
        await new_backend(str(path)).open(services)


async def test_device_is_refused_and_left_alone(
    new_backend: NewBackend, services: BackendServices, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BackendError, match="a device or a pipe"):
        await new_backend(str(tmp_path / "pipe")).open(services)
    assert not (tmp_path / "pipe.lock").exists()


async def test_file_as_directory_is_refused(
    new_backend: NewBackend, services: BackendServices, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match="check the path"):
        await new_backend(str(tmp_path / "file" / "hub.db")).open(services)


def read_only_folder(parent: Path) -> Path:
    parent.chmod(0o755)
    folder = parent / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    return folder


@contextmanager
def without_privileges() -> Iterator[None]:
    """Let the process have the rights of nobody inside: root may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_read_only_directory_is_refused(
    new_backend: NewBackend, services: BackendServices
) -> None:
    # Not below tmp_path, whose parents nobody else may enter.
    with tempfile.TemporaryDirectory() as parent:
        folder = read_only_folder(Path(parent))
        with without_privileges(), pytest.raises(BackendError, match="Permission denied"):
            await new_backend(str(folder / "hub.db")).open(services)


async def test_file_and_missing_directory_are_private(
    new_backend: NewBackend, services: BackendServices, tmp_path: Path
) -> None:
    path = tmp_path / "a" / "b" / "hub.db"
    await create_hub(new_backend(str(path)), services)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_creating_keeps_and_deleting_removes(
    new_backend: NewBackend, services: BackendServices
) -> None:
    backend = new_backend()
    await backend.open(services)
    assert await backend.schema_status() == SchemaStatus(None, 1)
    with pytest.raises(TaskHubNotFoundError):
        await backend.heartbeat(SessionId("session-1"))
    for _ in range(2):
        await backend.create_hub()
        assert await backend.schema_status() == SchemaStatus(1, 1)
    for _ in range(2):
        await backend.delete_hub()
        assert await backend.schema_status() == SchemaStatus(None, 1)
    with pytest.raises(TaskHubNotFoundError):
        await backend.get([])
    await backend.create_hub()


async def test_create_hub_that_fails_in_the_middle_leaves_nothing(
    new_backend: NewBackend, services: BackendServices
) -> None:
    backend = new_backend()
    await backend.open(services)
    assert backend._store is not None
    backend._store._writer._opened.execute("PRAGMA max_page_count = 9")
    with pytest.raises(BackendUnavailableError, match="full"):
        await backend.create_hub()
    assert await backend.schema_status() == SchemaStatus(None, 1)
    backend._store._writer._opened.execute("PRAGMA max_page_count = 1000000")
    await backend.create_hub()
    assert await backend.schema_status() == SchemaStatus(1, 1)


async def test_script_of_what_is_pending_makes_the_same_tables(
    new_backend: NewBackend, services: BackendServices, path: Path
) -> None:
    backend = new_backend()
    await backend.open(services)
    scripts = [pending.script for pending in await backend.pending_migrations()]
    await backend.create_hub()
    query = "SELECT name FROM sqlite_master ORDER BY name"
    with closing(sqlite3.connect(":memory:")) as memory, closing(sqlite3.connect(path)) as file:
        for script in scripts:
            memory.executescript(script)
        assert memory.execute(query).fetchall() == file.execute(query).fetchall() != []
    await backend.close()
