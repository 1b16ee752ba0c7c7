"""A server that goes away, refuses, or is busy: a clear error of the right kind, and on when it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from durahub.clock import SystemClock
from durahub.errors import BackendError, BackendUnavailableError, SchemaVersionError
from durahub_actors.stores import ActorId, Save, Saved
from durahub_actors.stores.redis import RedisStateStore
from durahub_actors.stores.redis.keys import find_tags

from plugins.actors.tests.redis_hubs import WORKFLOW, acquire, open_store, put, redis_settings
from plugins.actors.tests.tls_relay import make_authority, tls_relay
from tests.e2e.valkey import APPEND_ONLY, ValkeyServer, valkey_server

ACTOR = ActorId(WORKFLOW, "a")


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with valkey_server(APPEND_ONLY) as server:
        yield server


async def fail_to_open(url: str, **more: object) -> BackendError:
    store = RedisStateStore(redis_settings(url, **more))
    with pytest.raises(BackendError) as error:
        await store.open(SystemClock())
    assert "hush" not in str(error.value)
    await store.close()
    return error.value


async def test_what_is_acknowledged_survives_a_crash_of_the_server(server: ValkeyServer) -> None:
    async with open_store(redis_settings(server.url)) as store:
        lease = await acquire(store)
        for number in range(50):
            await put(store, f"a{number}", lease)
        server.kill()
        with pytest.raises(BackendUnavailableError):
            await store.read([ACTOR])
        server.start()
        actors = [ActorId(WORKFLOW, f"a{number}") for number in range(50)]
        states = await store.read(actors, keys=["metadata"])
        assert [state is not None for state in states] == [True] * 50
        assert len(await store.held(lease)) == 50
        await store.renew([lease])


async def test_server_that_answers_nothing_is_unavailable_in_bounded_time(
    server: ValkeyServer,
) -> None:
    async with open_store(redis_settings(server.url, readTimeout="300ms")) as store:
        server.freeze()
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError, match="in time"):
            await store.write([Save(actor=ACTOR, etag="e")])
        assert time.monotonic() - began < 5
        server.thaw()
        assert await store.now() is not None


async def test_goes_on_after_scripts_and_connections_are_lost(server: ValkeyServer) -> None:
    async with open_store(redis_settings(server.url)) as store:
        with server.client() as client:
            client.script_flush()
        assert await store.write([Save(actor=ACTOR, etag="1")]) == (Saved(etag="1"),)
        with server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.1)
        assert await store.write([Save(actor=ACTOR, etag="2")]) == (Saved(etag="2"),)


async def test_cancelled_calls_leave_no_answer_behind_for_others(server: ValkeyServer) -> None:
    async with open_store(redis_settings(server.url, poolSize="1")) as store:
        for number in range(100):
            writing = asyncio.ensure_future(
                store.write([Save(actor=ACTOR, etag=f"{number}", put={"n": b"%d" % number})])
            )
            await asyncio.sleep(number / 50_000)
            writing.cancel()
            await asyncio.wait([writing])
            (state,) = await store.read([ACTOR], keys=["n"])
            if state is not None:
                assert state.etag.encode() == state.values["n"]
        await store.write([Save(actor=ACTOR, etag="last")])
        (state,) = await store.read([ACTOR])
        assert state is not None
        assert state.etag == "last"


async def test_full_memory_refuses_whole_saves_and_passes(server: ValkeyServer) -> None:
    async with open_store(redis_settings(server.url)) as store:
        await store.write([Save(actor=ACTOR, etag="1", put={"a": b"1"})])
        with server.client() as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(BackendUnavailableError, match="maxmemory"):
                await store.write([Save(actor=ACTOR, etag="2", put={"b": b"2"})])
            (state,) = await store.read([ACTOR], prefixes=[""])
            assert state is not None
            assert (state.etag, dict(state.values)) == ("1", {"a": b"1"})
            assert await store.write([Save(actor=ACTOR, erase=True)]) == (Saved(etag=None),)
            client.config_set("maxmemory", 0)
        assert await store.write([Save(actor=ACTOR, etag="3")]) == (Saved(etag="3"),)


async def test_replica_is_unavailable(server: ValkeyServer) -> None:
    async with open_store(redis_settings(server.url)) as store:
        with server.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(BackendUnavailableError, match="READONLY"):
                await store.write([Save(actor=ACTOR, etag="1")])
            assert isinstance(await fail_to_open(server.url), BackendUnavailableError)
            client.execute_command("REPLICAOF", "NO", "ONE")
        assert await store.write([Save(actor=ACTOR, etag="1")]) == (Saved(etag="1"),)


async def test_nobody_there_is_unavailable() -> None:
    assert isinstance(await fail_to_open("redis://127.0.0.1:1"), BackendUnavailableError)


async def test_says_what_to_do_about_user_and_password() -> None:
    with valkey_server({"requirepass": "right"}) as server:
        for password, text in (("", "set redisPassword"), ("hush", "check redisUsername")):
            error = await fail_to_open(server.url, redisPassword=password)
            assert not error.retryable
            assert text in str(error)
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "narrow", "on", ">p", "+@all", "~other*")
            # As the how-to says.
            rights = [
                "~{hub:*",
                "+@read",
                "+@write",
                "+@scripting",
                "+@connection",
                "+@fast",
                "+info",
            ]
            client.execute_command("ACL", "SETUSER", "fit", "on", ">p", *rights)
        error = await fail_to_open(server.url, redisUsername="narrow", redisPassword="p")
        assert "lacks a right" in str(error)
        settings = redis_settings(server.url, redisUsername="fit", redisPassword="p", taskHub="hub")
        async with open_store(settings) as store:
            await put(store, "a", await acquire(store))
            await store.delete()


async def test_password_where_there_is_none(server: ValkeyServer) -> None:
    error = await fail_to_open(server.url, redisPassword="hush")
    assert not error.retryable


async def test_refuses_the_wrong_kind_of_server(server: ValkeyServer) -> None:
    assert "cluster" in str(await fail_to_open(server.url, redisType="cluster"))


async def test_refuses_a_newer_schema(server: ValkeyServer) -> None:
    with server.client() as client:
        client.hset(f"{find_tags('hub')[0]}:schema", "version", 99)
    error = await fail_to_open(server.url, taskHub="hub")
    assert isinstance(error, SchemaVersionError)


@pytest.mark.parametrize(
    ("options", "is_durable", "text"),
    [
        (APPEND_ONLY, True, ""),
        ({}, False, "appendonly yes"),
        (APPEND_ONLY | {"appendfsync": "no"}, True, "appendfsync"),
        (APPEND_ONLY | {"maxmemory-policy": "allkeys-lru"}, True, "noeviction"),
        (APPEND_ONLY | {"rename-command": "CONFIG nothing"}, True, "could not be checked"),
        (APPEND_ONLY | {"rename-command": "INFO nothing"}, True, "could not be checked"),
    ],
)
async def test_warns_of_servers_that_lose_what_they_acknowledge(
    options: dict[str, str], *, is_durable: bool, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with valkey_server(options) as server, caplog.at_level(logging.WARNING):
        async with open_store(redis_settings(server.url)) as store:
            assert store.is_durable is is_durable
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (1 if text else 0)
    assert all(text in warning for warning in warnings)


async def test_speaks_tls_and_checks_certificates(server: ValkeyServer, tmp_path: Path) -> None:
    authority = await asyncio.to_thread(make_authority, tmp_path)
    client = authority.client.read_text()
    trusting = {
        "enableTLS": "true",
        "caCert": authority.ca.read_text(),
        "clientCert": client,
        "clientKey": client,
    }
    async with tls_relay(server.port, authority) as port:
        url = f"redis://localhost:{port}"
        async with open_store(redis_settings(url, **trusting)) as store:
            assert await store.write([Save(actor=ACTOR, etag="1")]) == (Saved(etag="1"),)
            assert store.describe().startswith("rediss://")
        error = await fail_to_open(url, **(trusting | {"caCert": ""}))
        assert "caCert" in str(error)
        error = await fail_to_open(f"redis://127.0.0.1:{port}", **trusting)
        assert "certificate" in str(error)
        await fail_to_open(url, enableTLS="true", caCert=trusting["caCert"])
        error = await fail_to_open(url, **(trusting | {"clientCert": "hush", "clientKey": "hush"}))
        assert "clientCert" in str(error)
