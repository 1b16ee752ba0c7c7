"""Leases that end while processes die, buckets fall behind and packets are late."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.errors import BackendError, BackendUnavailableError, SessionFencedError
from durahub_actors.stores import ActorId, Lease, Refusal, Refused, Save
from durahub_actors.stores.redis import RedisSettings, RedisStateStore
from durahub_actors.stores.redis.keys import find_tags

from plugins.actors.tests.redis_hubs import WORKFLOW, acquire, open_store, put, redis_settings
from tests.e2e.valkey import valkey_server

ACTORS = 40
SHORT = timedelta(seconds=0.3)


@pytest.fixture
def settings(valkey_url: str) -> RedisSettings:
    return redis_settings(valkey_url)


async def refusals(store: RedisStateStore, lease: str) -> set[object]:
    saves = [Save(actor=ActorId(WORKFLOW, f"a{n}"), leases=(lease,)) for n in range(ACTORS)]
    return set(await store.write(saves))


async def test_next_one_finishes_an_end_whose_author_died(settings: RedisSettings) -> None:
    async with open_store(settings) as dying, open_store(settings) as store:
        lease, other = await acquire(store), await acquire(store)
        for number in range(ACTORS):
            await put(store, f"a{number}", lease)
        # What a process does first when it ends a lease, and a part of what comes second.
        await dying._register._ask("release", lease)
        hub = dying._hub
        await hub.run([hub.script(bucket, "end", lease) for bucket in hub.buckets[:5]])
        assert lease in {found.name for found in await store.leases()}
        assert 0 < len((await store.due(WORKFLOW, ACTORS)).reminders) < ACTORS

        beat = await store.renew([other])
        assert [ended.name for ended in beat.ended] == [lease]
        assert len((await store.due(WORKFLOW, ACTORS)).reminders) == ACTORS
        assert await store.held(lease) == ()
        assert await refusals(store, lease) == {Refused(Refusal.LEASE)}
        assert (await store.renew([other])).ended == ()


async def test_tells_the_owner_of_an_end_only_when_everything_is_free(
    settings: RedisSettings,
) -> None:
    async with open_store(settings) as store:
        lease = await acquire(store)
        for number in range(ACTORS):
            await put(store, f"a{number}", lease)
        await store._register._ask("release", lease)
        with pytest.raises(SessionFencedError):
            await store.renew([lease])
        assert len((await store.due(WORKFLOW, ACTORS)).reminders) == ACTORS


async def test_several_that_end_a_lease_at_once_tell_it_once(settings: RedisSettings) -> None:
    async with open_store(settings) as store:
        others = [await acquire(store) for _ in range(8)]
        await store.acquire(Lease(name="overdue", time_to_live=SHORT, data=b"d"))
        await asyncio.sleep(2 * SHORT.total_seconds())
        beats = await asyncio.gather(*(store.renew([other]) for other in others))
        ended = [lease for beat in beats for lease in beat.ended]
        assert ended == [Lease(name="overdue", time_to_live=SHORT, data=b"d")]


async def test_ends_what_a_bucket_knows_and_the_register_has_lost() -> None:
    # As after a fail-over of the node with the register.
    with valkey_server() as server, server.client() as client:
        async with open_store(redis_settings(server.url, taskHub="hub")) as store:
            lease = await acquire(store)
            for number in range(ACTORS):
                await put(store, f"a{number}", lease)
            first = find_tags("hub")[0]
            client.hdel(f"{first}:leases", lease)
            client.zrem(f"{first}:overdue", lease)
            await acquire(store)
            assert await refusals(store, lease) == {Refused(Refusal.LEASE)}
            assert len((await store.due(WORKFLOW, ACTORS)).reminders) == ACTORS


async def test_sweeps_while_it_renews() -> None:
    with valkey_server() as server, server.client() as client:
        async with open_store(redis_settings(server.url, taskHub="hub")) as store:
            lease = await acquire(store)
            key = f"{find_tags('hub')[7]}:live"
            client.sadd(key, "lost")
            for _ in range(16):
                await store.renew([lease])
            assert client.smembers(key) == {lease.encode()}


async def test_lease_that_ended_before_all_buckets_knew_it_is_not_acquired(
    settings: RedisSettings,
) -> None:
    async with open_store(settings) as store, open_store(settings) as faster:
        await acquire(faster)
        acquired = store.acquire(Lease(name="late", time_to_live=timedelta(microseconds=1)))
        renewals = asyncio.gather(*(faster.renew([]) for _ in range(20)))
        outcome, _ = await asyncio.gather(acquired, renewals, return_exceptions=True)
        await faster.renew([])
        # Whether others were faster is up to chance; that it can be used is not.
        assert not isinstance(outcome, Exception) or isinstance(outcome, BackendUnavailableError)
        assert await refusals(faster, "late") == {Refused(Refusal.LEASE)}
        with pytest.raises(BackendError, match="used before"):
            await store.acquire(Lease(name="late", time_to_live=SHORT))


async def test_idle_process_costs_one_command_per_heartbeat_and_one_trip_per_question() -> None:
    with valkey_server() as server, server.client() as client:
        async with open_store(redis_settings(server.url)) as store:
            lease = await acquire(store)
            await store.renew([lease])
            await store.due(WORKFLOW, 10)
            async with store._hub.lend_primaries() as nodes:
                (node,) = nodes
            trips = node.trips
            client.config_resetstat()
            for _ in range(5):
                await store.renew([lease])
            assert node.trips == trips + 5
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 5
            for _ in range(5):
                await store.due(WORKFLOW, 10)
            assert node.trips == trips + 10
