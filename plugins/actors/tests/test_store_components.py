"""Which state store the components of an application mean."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from durahub.errors import ConfigError
from durahub_actors.stores import MemoryStateStore
from durahub_actors.stores.components import NOT_CONFIGURED, StateComponent
from durahub_actors.stores.factory import state_store_of
from durahub_actors.stores.postgresql import PostgresStateStore
from durahub_actors.stores.postgresql.metadata import postgres_settings
from durahub_actors.stores.redis import RedisStateStore
from durahub_actors.stores.sqlite import SqliteStateStore
from durahub_actors.stores.sqlite.metadata import sqlite_settings

HERE = Path("/srv/app")
SECRET = "hunter2"


def component(
    type_: str, *, name: str = "store", version: str = "v1", **metadata: str
) -> StateComponent:
    return StateComponent(
        name=name, type=type_, version=version, metadata=metadata, at="store.yaml:3"
    )


def marked(type_: str, **fields: Any) -> StateComponent:
    return component(type_, actorStateStore="true", **fields)


def test_default_is_a_file_in_the_working_directory() -> None:
    store = state_store_of([], HERE)
    assert isinstance(store, SqliteStateStore)
    assert "/srv/app/.durahub/state.db" in store.describe()


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [
        (marked("state.in-memory"), MemoryStateStore),
        (marked("state.sqlite", connectionString="x.db"), SqliteStateStore),
        (marked("state.postgresql", connectionString="host=db user=u"), PostgresStateStore),
        (marked("state.postgresql", version="v2", connectionString="host=db"), PostgresStateStore),
        (marked("state.redis", redisHost="localhost:6379"), RedisStateStore),
    ],
)
def test_component_marked_for_actors_is_chosen(chosen: StateComponent, kind: type) -> None:
    other = component("state.mongodb", name="other", host="x")
    off = component("state.redis", name="off", actorStateStore="false")
    assert type(state_store_of([other, chosen, off], HERE)) is kind


@pytest.mark.parametrize("value", ["true", "True", "1", "yes", "y", "on", "T"])
def test_mark_is_read_as_dapr_reads_it(value: str) -> None:
    chosen = component("state.in-memory", ACTORSTATESTORE=value)
    assert isinstance(state_store_of([chosen], HERE), MemoryStateStore)


@pytest.mark.parametrize("value", ["false", "0", "", "enabled"])
def test_none_marked_is_an_error(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        state_store_of([component("state.in-memory", actorStateStore=value)], HERE)
    assert str(caught.value) == f"store.yaml:3: {NOT_CONFIGURED}"


def test_two_marked_are_an_error() -> None:
    stores = [marked("state.in-memory", name="a"), marked("state.redis", name="b", redisHost="x")]
    with pytest.raises(ConfigError, match=r"detected duplicate actor state store: a and b; leave "):
        state_store_of(stores, HERE)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (marked("state.mongodb"), "supported are state.in-memory, state.sqlite, state.redis"),
        (marked("state.sqlite", version="v7"), "couldn't find state store state.sqlite/v7"),
        (marked("state.sqlite"), "connectionString: write the path"),
        (marked("state.sqlite", connectionString="file:x?mode=ro"), "connectionString: write"),
        (marked("state.sqlite", connectionString="x", disableWAL="true"), "write-ahead log"),
        (marked("state.sqlite", connectionString="x", busyTimeout="-1s"), "busyTimeout: write"),
        (marked("state.sqlite", connectionString="x", busyTimeot="1s"), "did you mean busyTimeout"),
        (marked("state.sqlite", connectionString="x", synchronous="off"), "full or normal"),
        (marked("state.in-memory", x="1"), "unknown metadata x"),
        (marked("state.redis", redisHost="a:1", redisPassword=SECRET, redisDB=SECRET), "redisDB"),
        (marked("state.postgresql", connectionString=SECRET), "neither a URL"),
        (
            marked("state.postgresql", connectionString="host=db", schema="public"),
            "a schema of its",
        ),
        (
            marked("state.postgresql", connectionString="host=db", useAzureAD="true"),
            "not supported",
        ),
        (marked("state.postgresql", connectionString="host=db", maxConns="0"), "maxConns"),
        (marked("state.postgresql", connectionString=f"postgres://u:{SECRET}"), "before an @"),
        (marked("state.postgresql", connectionString=f"postgres://u:/{SECRET}@h/d"), "%40 for @"),
        (marked("state.postgresql", connectionString=f"host=h port={SECRET}"), "port is a number"),
        (marked("state.postgresql", connectionString="postgres://h", user="u"), "either a URL"),
    ],
)
def test_mistakes_are_told_without_values(wrong: StateComponent, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        state_store_of([wrong], HERE)
    assert text in str(caught.value)
    assert str(caught.value).startswith("store.yaml:3: component store")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(wrong)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data.db", HERE / "data.db"),
        ("/var/lib/data.db", Path("/var/lib/data.db")),
        ("file:a%20b.db?cache=shared", HERE / "a b.db"),
        ("file:///x/y.db?mode=rwc&_txlock=immediate", Path("/x/y.db")),
        (":memory:", None),
        ("file::memory:?cache=shared", None),
        ("file:name?mode=memory", None),
    ],
)
def test_reads_where_a_sqlite_file_is(text: str, path: Path | None) -> None:
    assert sqlite_settings(marked("state.sqlite", connectionString=text), HERE).path == path


def test_reads_the_metadata_of_sqlite() -> None:
    settings = sqlite_settings(
        marked(
            "state.sqlite",
            connectionString="x",
            BUSYTIMEOUT="1m500ms",
            synchronous="normal",
            tableName="state",
            metadataTableName="metadata",
            cleanupInterval="1h",
            timeout="20s",
            disableWAL="false",
        ),
        HERE,
    )
    assert settings.busy_timeout == timedelta(seconds=60.5)
    assert settings.synchronous == "normal"


@pytest.mark.parametrize(
    ("text", "url", "place"),
    [
        (
            f"host=db port=5433 user=u password='{SECRET} \\'x' database=orders connect_timeout=10 x=1",
            f"postgresql:///?host=db&port=5433&user=u&password={SECRET}+%27x&dbname=orders",
            "postgresql://db/orders?schema=durahub_state",
        ),
        (
            f"postgres://u:{SECRET}@db:5433/orders?sslmode=require&pool_max_conns=3",
            f"postgres://u:{SECRET}@db:5433/orders?sslmode=require",
            "postgresql://db:5433/orders?schema=durahub_state",
        ),
    ],
)
def test_reads_where_a_postgres_database_is(text: str, url: str, place: str) -> None:
    settings = postgres_settings(marked("state.postgresql", connectionString=text))
    assert settings.url == url
    assert settings.place == place
    assert SECRET not in repr(settings)


def test_reads_the_metadata_of_postgres() -> None:
    settings = postgres_settings(
        marked(
            "state.postgresql",
            connectionString="host=db",
            password="p q",
            tablePrefix="Shop-",
            maxConns="9",
            timeout="3",
            queryExecMode="simple_protocol",
            connectionMaxIdleTime="5m",
        )
    )
    assert settings.url == "postgresql:///?host=db&password=p+q"
    assert settings.schema == "shop_durahub_state"
    assert (settings.pool_size, settings.timeout_s, settings.prepares) == (9, 3.0, False)


def test_clients_of_other_stores_are_not_imported() -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from durahub_actors.stores.factory import state_store_of;"
        "state_store_of([], Path('.'));"
        "assert not {'redis', 'asyncpg'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
