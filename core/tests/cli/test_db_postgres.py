"""`durahub db` and `durahub serve` on a Postgres server whose schema an operator migrates."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

Durahub = Callable[..., Any]

SECRET = "hunter2"


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def schema(sql: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """A name for a task hub, which is dropped at the end."""
    name = f"db_{uuid.uuid4().hex}"
    yield name
    await sql.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
def url(postgres_url: str) -> str:
    """The server's address with a password, which it does not ask for and nobody may see."""
    assert "postgres:@" in postgres_url
    return postgres_url.replace("postgres:@", f"postgres:{SECRET}@")


@pytest.fixture
def config(tmp_path: Path, schema: str, url: str) -> Path:
    """A configuration that leaves the schema to an operator."""
    return write_config(tmp_path, connectionString=url, schema=schema, autoMigrate=False)


@pytest.fixture
def db(durahub: Durahub, tmp_path: Path) -> Callable[..., Any]:
    """Run a command of `durahub db`; nothing of it may tell the password."""

    def call(command: str, *arguments: str) -> Any:
        outcome = durahub("db", command, "--config", "postgres.yaml", *arguments)
        assert SECRET not in outcome.out + outcome.err
        return outcome

    return call


def write_config(directory: Path, **store: object) -> Path:
    path = directory / "postgres.yaml"
    document = {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Configuration",
        "metadata": {"name": "test"},
        "spec": {"workflow": {"backendType": "postgres", "storeConfiguration": store}},
    }
    # JSON is YAML.
    path.write_text(json.dumps(document))
    return path


async def test_an_operator_migrates_and_then_a_sidecar_starts(
    db: Durahub,
    durahub: Durahub,
    spawn: Callable[[Sequence[str]], subprocess.Popen[str]],
    wait_until_ready: Callable[[int], None],
    free_port: int,
    config: Path,
    schema: str,
) -> None:
    serve = (
        *("serve", "--app-id", "shop", "--config", config.name),
        *("--dapr-grpc-port", "0", "--dapr-http-port", str(free_port)),
    )
    refused = durahub(*serve)
    assert (refused.code, refused.out) == (2, "")
    assert "holds no task hub, and autoMigrate is off" in refused.err
    assert "`durahub db migrate`" in refused.err
    assert SECRET not in refused.err

    status = db("status")
    assert status.code == 3
    assert f"?schema={schema}\n" in status.out
    assert db("plan").out.splitlines()[1] == "1. first version"
    assert f'CREATE TABLE "{schema}".instances' in db("plan", "--script").out
    assert db("status").code == 3

    migrated = db("migrate")
    assert (migrated.code, migrated.err) == (0, "")
    assert migrated.out.splitlines()[1:] == ["done: first version", "the schema is up to date"]
    assert db("migrate").out.splitlines()[1:] == ["the schema was up to date already"]
    assert db("status").code == 0

    process = spawn(serve)
    wait_until_ready(free_port)
    assert db("status").code == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


async def test_an_outdated_schema_stops_a_sidecar(
    db: Durahub, durahub: Durahub, config: Path, schema: str, sql: asyncpg.Connection[Any]
) -> None:
    db("migrate")
    await sql.execute(f"UPDATE {schema}.meta SET version = 0")
    refused = durahub(
        *("serve", "--app-id", "shop", "--config", config.name),
        *("--dapr-grpc-port", "0", "--dapr-http-port", "0"),
    )
    assert (refused.code, refused.out) == (2, "")
    assert "has schema version 0, this program needs" in refused.err
    assert "`durahub db migrate`" in refused.err
    status = db("status")
    assert status.code == 3
    assert "version 0, and this program needs" in status.out


@pytest.mark.usefixtures("config")
async def test_a_reader_may_read_the_views(
    db: Durahub, schema: str, sql: asyncpg.Connection[Any]
) -> None:
    role = f"reader_{schema}"
    too_early = db("grant-reader", role)
    assert too_early.code == 2
    assert "create it first, with `durahub db migrate`" in too_early.err
    db("migrate")
    try:
        for _ in range(2):
            granted = db("grant-reader", role)
            assert (granted.code, granted.err) == (0, "")
            assert role in granted.out
        await sql.execute(f"SET ROLE {role}")
        assert await sql.fetch(f"SELECT * FROM {schema}.v_instances") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.fetch(f"SELECT * FROM {schema}.instances")
    finally:
        await sql.execute("RESET ROLE")
        await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("command", ["status", "plan", "migrate"])
@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:1/orders", ("127.0.0.1:1/orders", "check that it")),
        (f"postgresql://u:{SECRET}@h/o?sslmod=require", ("postgres.yaml:", "not known here")),
    ],
)
def test_a_store_that_can_not_be_used_is_told_with_place_and_remedy(
    db: Durahub, tmp_path: Path, url: str, command: str, parts: tuple[str, ...]
) -> None:
    write_config(tmp_path, connectionString=url)
    outcome = db(command)
    assert outcome.code == 2
    assert outcome.err.count("durahub: error: ") == 1
    assert [part for part in parts if part not in outcome.err] == []


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("command", ["status", "plan", "migrate"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("INSERT INTO {}.meta (version, name) VALUES (99, 'x')", "use the newer durahub-postgres"),
        ("DELETE FROM {}.meta", "restore a backup"),
        ("DROP TABLE {}.meta", "name a schema of its own"),
    ],
)
async def test_a_schema_that_is_not_ours_is_left_alone(
    db: Durahub,
    schema: str,
    sql: asyncpg.Connection[Any],
    command: str,
    damage: str,
    message: str,
) -> None:
    db("migrate")
    await sql.execute(damage.format(schema))
    outcome = db(command)
    assert outcome.code == 2
    assert f"?schema={schema}" in outcome.err
    assert message in outcome.err
