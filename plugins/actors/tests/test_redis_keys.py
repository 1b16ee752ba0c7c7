"""What the store calls things in Redis, and that nothing of it stays or is in a wrong place."""

from __future__ import annotations

from collections import Counter

import pytest
import redis
from durahub_actors.stores import ActorId, Save
from durahub_actors.stores.redis.keys import find_tags, name_actor, parse_actor, slot_of
from hypothesis import given
from hypothesis import strategies as st

from plugins.actors.tests.redis_hubs import WORKFLOW, acquire, open_store, put, redis_settings
from tests.e2e.valkey import valkey_cluster, valkey_server


def keys_of(client: redis.Redis) -> set[str]:
    return {key.decode() for key in client.keys("*")}


def test_names_actors_as_dapr_does() -> None:
    actor = ActorId("dapr.internal.default.order-app.workflow", "order-17")
    assert name_actor(actor) == "order-app||dapr.internal.default.order-app.workflow||order-17"


@given(st.text("a|%7C"), st.text("a|%7C"))
def test_tells_all_actors_apart(actor_type: str, actor_id: str) -> None:
    actor = ActorId(actor_type, actor_id)
    assert parse_actor(name_actor(actor)) == actor


@pytest.mark.parametrize("nodes", [2, 3, 5, 8])
def test_spreads_buckets_evenly_over_nodes(nodes: int) -> None:
    shares = Counter(slot_of(tag) * nodes // 16384 for tag in find_tags("durahub"))
    assert max(shares.values()) - min(shares.values()) <= 1


async def test_leaves_nothing_of_actors_that_are_erased() -> None:
    with valkey_server() as server, server.client() as client:
        async with open_store(redis_settings(server.url)) as store:
            lease = await acquire(store)
            before = keys_of(client)
            for number in range(40):
                await put(store, f"a{number}", lease)
            assert len(keys_of(client)) > len(before) + 80
            saves = [Save(actor=ActorId(WORKFLOW, f"a{n}"), erase=True) for n in range(40)]
            await store.write(saves)
            assert keys_of(client) == before


async def test_deletes_its_own_keys_and_no_others() -> None:
    with valkey_server() as server, server.client() as client:
        settings = redis_settings(server.url, taskHub="hub")
        tag = find_tags("hub")[0]
        foreign = {"x", "hub", "{hub}", "{hub:0.0}||a", "{hub:x}:due", "{hub2:0.1}:schema", tag}
        client.mset(dict.fromkeys(foreign, "kept"))
        async with open_store(settings) as store:
            await put(store, "a", await acquire(store))
            await store.delete()
            assert keys_of(client) == foreign
            await store.delete()
            assert (await store.status()).found is None


async def test_create_finishes_a_deletion_that_was_interrupted() -> None:
    with valkey_server() as server, server.client() as client:
        async with open_store(redis_settings(server.url, taskHub="hub")) as store:
            await put(store, "a", await acquire(store))
            first, *others = find_tags("hub")
            client.set(f"{first}:deleting", 1)
            client.delete(f"{first}:schema", *(f"{tag}:schema" for tag in others[:5]))
            await store.create()
            assert keys_of(client) == {f"{tag}:schema" for tag in (first, *others)}


async def test_keeps_all_keys_of_an_actor_on_one_node() -> None:
    with valkey_cluster() as cluster:
        async with open_store(redis_settings(cluster.url, taskHub="hub")) as store:
            await put(store, "a", await acquire(store))
            found = []
            for node in cluster.nodes:
                with node.client() as client:
                    found.append({key for key in keys_of(client) if "workflow" in key})
            assert sorted(len(keys) for keys in found) == [0, 0, 4]
