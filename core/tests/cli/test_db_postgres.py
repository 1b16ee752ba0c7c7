"""`durahub db` and `durahub serve` on a Postgres server whose schema an operator migrates."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
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
    return write_config(
        tmp_path, connectionString=url, schema=schema, autoMigrate=False, sessionTimeToLive=7.5
    )


@pytest.fixture
def db(durahub: Durahub) -> Callable[..., Any]:
    """Run a command of `durahub db`; nothing of it may tell the password."""

    def call(command: str, *arguments: str) -> Any:
        outcome = durahub("db", command, "--config", "postgres.yaml", *arguments)
        assert SECRET not in outcome.out + outcome.err
        return outcome

    return call


@pytest.fixture
def serve(config: Path, free_port: int) -> tuple[str, ...]:
    """The command of a sidecar, its HTTP port last."""
    return (
        *("serve", "--app-id", "shop", "--config", config.name),
        *("--dapr-grpc-port", "0", "--dapr-http-port", str(free_port)),
    )


@pytest.fixture
def fail_to_serve(durahub: Durahub, serve: tuple[str, ...]) -> Callable[[], str]:
    """Start a sidecar that has to be refused; return what it says."""

    def call() -> str:
        outcome = durahub(*serve)
        assert (outcome.code, outcome.out) == (2, "")
        assert SECRET not in outcome.err
        return str(outcome.err)

    return call


@pytest.fixture
def start_and_stop(
    spawn: Callable[[Sequence[str]], subprocess.Popen[str]],
    wait_until_ready: Callable[[int], None],
    serve: tuple[str, ...],
) -> Callable[[], None]:
    """Start a sidecar that has to become ready, and stop it well."""

    def call() -> None:
        process = spawn(serve)
        wait_until_ready(int(serve[-1]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

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
    fail_to_serve: Callable[[], str],
    schema: str,
    start_and_stop: Callable[[], None],
    sql: asyncpg.Connection[Any],
) -> None:
    message = fail_to_serve()
    assert "holds no task hub, and autoMigrate is off" in message
    assert "`durahub db migrate`" in message
    status = db("status")
    assert status.code == 3
    assert f"?schema={schema}\n" in status.out
    plan = db("plan", "--script")
    assert "1. first version" in plan.out.splitlines()
    assert "2. sessions forward to each other" in plan.out.splitlines()
    assert f'CREATE TABLE "{schema}".instances' in plan.out

    migrated = db("migrate")
    assert (migrated.code, migrated.err) == (0, "")
    assert migrated.out.splitlines()[1:] == [
        "done: first version",
        "done: sessions forward to each other",
        "the schema is up to date",
    ]
    assert db("migrate").out.splitlines()[1:] == ["the schema was up to date already"]
    start_and_stop()
    assert db("status").code == 0
    (session,) = await sql.fetch(f"SELECT time_to_live FROM {schema}.sessions")
    assert session["time_to_live"] == timedelta(seconds=7.5)


async def test_an_outdated_schema_stops_a_sidecar(
    db: Durahub, fail_to_serve: Callable[[], str], schema: str, sql: asyncpg.Connection[Any]
) -> None:
    db("migrate")
    await sql.execute(f"DELETE FROM {schema}.meta WHERE version > 1")
    message = fail_to_serve()
    assert "has schema version 1, this program needs" in message
    assert "`durahub db migrate`" in message
    status = db("status")
    assert status.code == 3
    assert "version 1, and this program needs" in status.out


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


@pytest.mark.parametrize(
    ("command", "url", "parts"),
    [
        (
            "status",
            f"postgresql://u:{SECRET}@127.0.0.1:1/orders",
            ("127.0.0.1:1/orders", "check that it"),
        ),
        ("plan", f"postgresql://u:{SECRET}@h/o?sslmod=x", ("postgres.yaml:", "not known here")),
    ],
)
def test_a_store_that_can_not_be_used_is_told_with_place_and_remedy(
    db: Durahub, tmp_path: Path, command: str, url: str, parts: tuple[str, ...]
) -> None:
    write_config(tmp_path, connectionString=url)
    outcome = db(command)
    assert outcome.code == 2
    assert outcome.err.count("durahub: error: ") == 1
    assert [part for part in parts if part not in outcome.err] == []


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("command", "damage", "message"),
    [
        ("migrate", "CREATE TABLE {}.precious ()", "name a schema of its own"),
        (
            "status",
            "CREATE TABLE {0}.sessions (); CREATE TABLE {0}.meta AS SELECT 99 AS version",
            "use the newer durahub-postgres",
        ),
    ],
)
async def test_a_schema_that_is_not_ours_is_left_alone(
    db: Durahub, schema: str, sql: asyncpg.Connection[Any], command: str, damage: str, message: str
) -> None:
    await sql.execute(f"CREATE SCHEMA {schema}; {damage.format(schema)}")
    outcome = db(command)
    assert outcome.code == 2
    assert f"?schema={schema}" in outcome.err
    assert message in outcome.err
