"""A cluster whose nodes die and whose slots move, and a primary that is replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis
from durahub.errors import BackendUnavailableError
from durahub_actors.stores import ActorId, Reminder, Save, Saved
from durahub_actors.stores.redis.keys import bucket_of, find_tags, name_actor, slot_of

from plugins.actors.tests.redis_hubs import WORKFLOW, acquire, open_store, put, redis_settings
from tests.e2e.valkey import (
    APPEND_ONLY,
    HOST,
    ValkeyCluster,
    ValkeyFailover,
    ValkeyServer,
    valkey_cluster,
    valkey_failover,
)

# Not in the bucket with the register of leases.
ACTOR = ActorId(WORKFLOW, "b")
TAGS = find_tags("hub")
TAG = TAGS[bucket_of(name_actor(ACTOR))]
SLOT = slot_of(TAG)
LIVE = f"{TAG}:live".encode()


@pytest.fixture
def cluster() -> Iterator[ValkeyCluster]:
    with valkey_cluster(options=APPEND_ONLY) as cluster:
        yield cluster


def node_id(server: ValkeyServer) -> str:
    with server.client() as client:
        return str(client.execute_command("CLUSTER", "MYID").decode())


def set_slot(servers: tuple[ValkeyServer, ...], *words: str) -> None:
    for server in servers:
        with server.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", SLOT, *words)


def move_keys(source: ValkeyServer, target: ValkeyServer, keys: list[bytes]) -> None:
    with source.client() as client:
        client.execute_command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)


def keys_in_slot(server: ValkeyServer) -> list[bytes]:
    with server.client() as client:
        return list(client.execute_command("CLUSTER", "GETKEYSINSLOT", SLOT, 1000))


def contents(servers: tuple[ValkeyServer, ...]) -> dict[bytes, bytes]:
    """Return what a bucket holds, but for which leases it lets save: one that ends is struck off first."""
    found = {}
    for server in servers:
        with server.client() as client:
            for key in set(keys_in_slot(server)) - {LIVE}:
                client.execute_command("ASKING")
                found[key] = client.dump(key)
    return found


async def until_it_works(call: Callable[[], Awaitable[object]], *, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            await call()
        except BackendUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        else:
            return


async def test_bucket_that_is_being_moved_refuses_whole_saves_until_it_has_arrived(
    cluster: ValkeyCluster,
) -> None:
    async with open_store(redis_settings(cluster.url, taskHub="hub")) as store:
        lease, other = await acquire(store), await acquire(store)
        await put(store, ACTOR.id, lease)
        source = cluster.node_of(TAG)
        target = next(node for node in cluster.nodes if node is not source)
        both = (source, target)
        # It changes keys that are there, empties one that is then filled, and makes new ones.
        later = Reminder(queue="new", due_at=await store.now(), release=True)
        change = Save(
            actor=ACTOR, leases=(lease,), etag="2", mark={"new": 1}, erase=True, remind={"x": later}
        )
        set_slot((target,), "IMPORTING", node_id(source))
        set_slot((source,), "MIGRATING", node_id(target))
        # Its end begins, since saves are refused first; nothing that it holds is free before that is complete.
        with pytest.raises(BackendUnavailableError):
            await store.release(lease)
        before, keys = contents(both), keys_in_slot(source)
        schema = f"{TAG}:schema".encode()
        # The key by which calls are routed stays behind first, and goes ahead then.
        for moved in ([], [key for key in keys if key != schema][:3], [schema]):
            if moved:
                move_keys(source, target, moved)
            for save in (change, Save(actor=ACTOR, expected=None, etag="new")):
                with pytest.raises(BackendUnavailableError, match="moving"):
                    await store.write([save])
            with pytest.raises(BackendUnavailableError):
                await store.read([ACTOR], prefixes=["m"])
            with pytest.raises(BackendUnavailableError):
                await store.release(lease)
            # Others live on meanwhile, and are not told of an end that is not complete.
            assert (await store.renew([other])).ended == ()
            assert contents(both) == before
        move_keys(source, target, keys_in_slot(source))
        set_slot(cluster.nodes, "NODE", node_id(target))
        await until_it_works(lambda: store.release(lease))
        assert await store.held(lease) == ()
        assert await store.write([Save(actor=ACTOR, etag="2")]) == (Saved(etag="2"),)


async def test_follows_slots_that_the_servers_move_at_once(cluster: ValkeyCluster) -> None:
    async with open_store(redis_settings(cluster.url, taskHub="hub")) as store:
        lease = await acquire(store)
        source = cluster.node_of(TAG)
        target = next(node for node in cluster.nodes if node is not source)
        with source.client() as client:
            client.execute_command(
                "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", node_id(target)
            )
        number, deadline = 0, time.monotonic() + 20
        while cluster.node_of(TAG) is not target or number < 50:
            assert time.monotonic() < deadline
            await until_it_works(lambda: put(store, ACTOR.id, lease))
            number += 1
            await asyncio.sleep(0.01)
        with target.client() as client:
            assert client.execute_command("CLUSTER", "COUNTKEYSINSLOT", SLOT) > 4
        assert len(await store.held(lease)) == 1


async def test_goes_on_when_a_node_is_back(cluster: ValkeyCluster) -> None:
    settings = redis_settings(cluster.url, taskHub="hub", redisHost=cluster.nodes[0].address)
    async with open_store(settings) as store:
        lease = await acquire(store)
        for number in range(30):
            await put(store, f"a{number}", lease)
        node = cluster.nodes[2]
        node.kill()
        with pytest.raises(BackendUnavailableError):
            await store.held(lease)
        node.start()
        await until_it_works(lambda: store.renew([lease]))
        await until_it_works(lambda: store.held(lease))
        assert len(await store.held(lease)) == 30


async def test_finds_the_cluster_through_any_node_that_lives(cluster: ValkeyCluster) -> None:
    settings = redis_settings(cluster.url, taskHub="hub")
    settings = settings.model_copy(update={"redis_host": f"{HOST}:1,{cluster.nodes[1].address}"})
    async with open_store(settings) as store:
        await put(store, ACTOR.id, await acquire(store))


async def test_goes_on_with_the_replica_that_the_sentinel_promotes() -> None:
    with valkey_failover() as servers:
        settings = redis_settings(
            servers.sentinel.url, failover="true", sentinelMasterName=ValkeyFailover.NAME
        )
        async with open_store(settings) as store:
            lease = await acquire(store)
            await put(store, ACTOR.id, lease)
            with servers.primary.client() as client:
                assert client.execute_command("WAIT", 1, 5000) == 1
            servers.primary.kill()
            with pytest.raises(BackendUnavailableError):
                await store.renew([lease])
            await until_it_works(lambda: store.renew([lease]))
            assert len(await store.held(lease)) == 1
            with servers.replica.client() as client:
                assert isinstance(client, redis.Redis)
                assert client.info("replication")["role"] == "master"
