"""Hosts of one task hub: where actors are, who may write, and who may speak to whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme
from durahub.backend import Delivered, InstanceCreated, TurnCommitted
from durahub.errors import BackendUnavailableError, SessionFencedError
from durahub_actors.cluster.peers import CALL, LEAVE, PING, TELL
from durahub_actors.cluster.transport import HostChannel

from plugins.actors.tests.hosts import Host, creations, have_met, hosts, placed
from tests.making import Make

IDS = [f"i{number}" for number in range(40)]


async def test_actors_are_on_all_hosts_and_calls_travel_there() -> None:
    async with hosts("first", "second", "third") as all_of_them:
        first, *_ = all_of_them
        results = await first.do(*creations(IDS))
        assert results == (InstanceCreated(generation=1),) * len(IDS)
        where = placed(IDS, all_of_them)
        assert all(where.values())
        assert {host: set(host.store.saved) & set(IDS) for host in all_of_them} == where
        claimed = await first.claim()
        assert {one.record.key.instance_id for one in claimed} == set(IDS)
        for host in all_of_them:
            host.store.saved.clear()
        await first.do(*map(Make.turn, claimed))
        assert {host: sorted(set(host.store.saved) & set(IDS)) for host in all_of_them} == {
            host: sorted(names) for host, names in where.items()
        }


async def test_each_change_is_saved_once() -> None:
    async with hosts("first", "second") as all_of_them:
        first, second = all_of_them
        await first.do(*creations(IDS))
        saved = sorted(one for host in all_of_them for one in host.store.saved if one in IDS)
        assert saved == sorted(IDS)
        assert await second.do(*(Make.delivery(one, b"hello") for one in IDS)) == (
            (Delivered(),) * len(IDS)
        )
        for claimed in await first.claim():
            assert [one.message.payload for one in claimed.messages] == [b"start", b"hello"]


async def test_host_that_leaves_is_asked_nothing_more() -> None:
    async with hosts("first", "second", "third") as (first, second, third):
        await third.backend.close()
        assert first.peers.reachable == (second.name,)
        assert second.peers.reachable == (first.name,)
        await first.do(*creations(IDS))
        assert set(first.store.saved + second.store.saved) >= set(IDS)


async def test_host_that_comes_later_gets_its_share() -> None:
    async with hosts("first") as (first,):
        await first.do(*creations(IDS))
        second = Host(first.state, first.clock, "second")
        await second.start()
        try:
            await have_met([first, second])
            await first.do(*(Make.delivery(one, b"hello") for one in IDS))
            moved = placed(IDS, [first, second])[second]
            assert moved
            assert set(second.store.saved) & set(IDS) == moved
        finally:
            await second.backend.close()


async def create_surely(host: Host, ids: list[str]) -> None:
    """Create, and again if the answer was lost, as the engine does."""
    for _ in range(3):
        try:
            await host.do(*creations(ids))
        except BackendUnavailableError:
            continue
        return
    raise AssertionError("three times without an answer")


@pytest.mark.parametrize("are_both", [False, True], ids=["one way", "both ways"])
async def test_hosts_that_do_not_reach_each_other_go_on(*, are_both: bool) -> None:
    """Nothing is lost or doubled: both work over the store, each with whatever it needs."""
    async with hosts("first", "second") as all_of_them:
        first, second = all_of_them
        await first.do(*creations(IDS))
        claimed = {host: [] for host in all_of_them}
        for number in range(4):
            host = all_of_them[number % 2]
            claims = await host.backend.claim_instances(host.session, 10)
            claimed[host] += claims.instances
        assert all(claimed.values())
        await second.be_unreachable()
        if are_both:
            await first.be_unreachable()
        more = [f"more {number}" for number in range(20)]
        async with asyncio.TaskGroup() as group:
            group.create_task(create_surely(first, more[:10]))
            group.create_task(create_surely(second, more[10:]))
        assert first.peers.reachable == ()
        for host in all_of_them:
            turns = [Make.turn(one, activities=(Make.task(one, 1),)) for one in claimed[host]]
            assert await host.do(*turns) == (TurnCommitted(revision=1),) * len(turns)
        both = [one for host in all_of_them for one in await host.claim()]
        assert sorted(one.record.key.instance_id for one in both) == sorted(more)
        tasks = [
            task.key.instance.instance_id
            for host in all_of_them
            for task in await host.backend.claim_activities(host.session, 25)
        ]
        assert sorted(tasks) == sorted(IDS)


async def test_fenced_session_can_not_commit_on_any_host() -> None:
    async with hosts("first") as (first,):
        second = Host(first.state, first.clock, "second")
        await second.start(life_s=60)
        try:
            await have_met([first, second])
            await second.do(*creations(IDS))
            claimed = await second.claim()
            assert len(claimed) == len(IDS)
            assert all(placed(IDS, [first, second]).values())
            first.clock.advance(timedelta(seconds=120))
            # Its host lives: only the session was silent.
            heartbeat = await first.backend.heartbeat(first.session)
            assert heartbeat.fenced == (second.session,)
            for one in claimed:
                with pytest.raises(SessionFencedError):
                    await second.do(Make.turn(one))
            views = await first.backend.get([Make.key(one) for one in IDS])
            assert {view and view.record.revision for view in views} == {0}
            assert len(await first.claim()) == len(IDS)
        finally:
            await second.backend.close()


async def test_host_that_was_declared_dead_commits_nothing_until_it_is_new() -> None:
    async with hosts("first", "second") as all_of_them:
        first, second = all_of_them
        await second.do(*creations(IDS))
        claimed = await second.claim()
        # Without its session, as if only one of the two had been renewed in time.
        await first.store.release(second.name)
        await first.backend.heartbeat(first.session)
        with pytest.raises(BackendUnavailableError, match="silent for too long"):
            await second.do(*map(Make.turn, claimed))
        views = await first.backend.get([Make.key(one) for one in IDS])
        assert {view and view.record.revision for view in views} == {0}
        assert await second.do(*map(Make.turn, claimed)) == (TurnCommitted(revision=1),) * len(IDS)
        for host in (first, second, first):
            await host.backend.heartbeat(host.session)
        await have_met(all_of_them)


@pytest.mark.parametrize("method", [PING, CALL, TELL, LEAVE])
@pytest.mark.parametrize("token", [b"", b"wrong"])
async def test_wrong_token_is_refused(method: str, token: bytes) -> None:
    async with hosts("one") as (host,):
        channel = HostChannel(host.address, token, None)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.call(method, b"", 5)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await channel.close(0)


async def test_nobody_listens_for_a_task_hub_that_was_deleted() -> None:
    async with hosts("first", "second") as (first, second):
        address = first.address
        await first.backend.delete_hub()
        assert second.peers.reachable == ()
        host, _, port = address.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))


def tls(directory: Path, authority: trustme.CA, trusted: trustme.CA) -> dict[str, str]:
    """Return the setting of a host whose certificate an authority has signed."""
    directory.mkdir()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    trusted.cert_pem.write_to_path(directory / "authority.pem")
    return {name: str(directory / f"{name}.pem") for name in ("certificate", "key", "authority")}


async def test_hosts_meet_over_mutual_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    files = tls(tmp_path / "host", authority, authority)
    async with hosts("first", "second", internalTls=files) as all_of_them:
        first, _ = all_of_them
        await first.do(*creations(IDS))
        where = placed(IDS, all_of_them)
        assert {host: set(host.store.saved) & set(IDS) for host in all_of_them} == where


async def test_host_without_a_certificate_of_the_authority_is_not_met(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    files = tls(tmp_path / "host", authority, authority)
    async with hosts("first", "second", internalTls=files) as (first, second):
        # It trusts who they are, and knows the token; what it can not prove is who it is.
        stranger = Host(
            first.state,
            first.clock,
            "stranger",
            internalTls=tls(tmp_path / "stranger", other, authority),
        )
        plain = Host(first.state, first.clock, "plain")
        for one in (stranger, plain):
            await one.start()
        try:
            for host in (first, second):
                await host.backend.heartbeat(host.session)
            await asyncio.sleep(1.5)
            assert first.peers.reachable == (second.name,)
            assert second.peers.reachable == (first.name,)
            assert (stranger.peers.reachable, plain.peers.reachable) == ((), ())
            # They all work, each by itself.
            for number, host in enumerate((first, stranger, plain)):
                assert await host.do(Make.creation(f"one {number}")) == (
                    InstanceCreated(generation=1),
                )
        finally:
            for one in (stranger, plain):
                await one.backend.close()
