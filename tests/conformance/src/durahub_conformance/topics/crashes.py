"""CRA: processes are killed, and what they acknowledged is there."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from itertools import count

import pytest
from durahub.backend import SchemaStatus
from durahub.errors import BackendUnavailableError, SessionFencedError

from durahub_conformance.child import running_child
from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import key, keys, task, texts, turn

KILLS = 3
"""How often a process is killed in one test, each time at another moment."""

PATIENCE_S = 20.0
"""How long a store may take after a process was killed."""

LONGEST_S = 0.05
"""A process is killed at some moment of so much time."""

INSTANCES = 40


async def some_moment() -> None:
    """Let some of the child's next steps happen; anywhere in them it is killed."""
    await asyncio.sleep(random.uniform(0, LONGEST_S))


async def _create_at_last(hub: Hub, name: str) -> None:
    """Create an instance, however often the store says that the next call may succeed."""
    for attempt in count():
        with suppress(BackendUnavailableError):
            await hub.create(f"{name}, attempt {attempt}")
            return
        await some_moment()


async def _received(hub: Hub) -> list[str]:
    """Return what turns have sent to the receiver, whose first message is its start."""
    return [text.decode() for text in await hub.probe.inbox(key("receiver"))][1:]


async def _check_turn(hub: Hub, number: int, *, is_committed: bool) -> None:
    history = await hub.probe.history(key(f"one {number}"))
    assert list(history) == ([b"1", b"2"] if is_committed else [])
    inbox = await hub.probe.inbox(key(f"child {number}"))
    assert list(inbox) == ([b"start"] if is_committed else [])


class CrashRequirements:
    """Requirements of processes that end without a word."""

    @requirement("CRA-01", needs="durable")
    async def test_acknowledged_writes_survive_a_kill_and_nothing_is_by_half(
        self, hub: Hub
    ) -> None:
        """What a killed process acknowledged is there; once it is fenced, nothing else is there by half."""
        await hub.create("receiver")
        for _ in range(KILLS):
            await hub.backend.close()
            mortal = hub.new_session(mortal=True)
            async with running_child("commit_turns", hub.harness, mortal) as child:
                for _ in range(3):
                    assert await child.next_line()
                await some_moment()
                await child.kill()
            await hub.reopen()
            received = await _received(hub)
            for number in range(len(child.said)):
                assert received.count(str(number)) == 1
                await _check_turn(hub, number, is_committed=True)
            # What its last turn sent may be delivered by who fences it, and whatever it sent once more.
            await hub.fence(mortal.session_id)
            last = len(child.said)
            is_committed = bool(await hub.probe.history(key(f"one {last}")))
            await _check_turn(hub, last, is_committed=is_committed)
            numbers = set(map(str, range(last + is_committed)))
            assert set(received) <= set(await _received(hub)) == numbers
            await hub.backend.delete_hub()
            await hub.backend.create_hub()
            hub.session = await hub.join()
            await hub.create("receiver")

    @requirement("CRA-02", needs="durable")
    async def test_killed_process_loses_what_it_owned(self, hub: Hub) -> None:
        """What a killed process owned is claimed whole by who fenced it, and the dead write nothing."""
        claimed = await hub.owned("one")
        await hub.do(turn(claimed, consumed=(), activities=(task(claimed, 1),)))
        await hub.create("two")
        await hub.backend.close()
        dead = hub.new_session(mortal=True)
        async with running_child("own_everything", hub.harness, dead) as child:
            assert await child.next_line() == "2 1"
            await child.kill()
        await hub.reopen()
        hub.session = await hub.fence(dead.session_id)
        found = {one.record.key: one for one in await hub.claim()}
        assert set(found) == {key("one"), key("two")}
        assert texts(found[key("one")]) == ["start"]
        assert await hub.claim_tasks() == (task(claimed, 1),)
        with pytest.raises(SessionFencedError):
            await hub.do(turn(found[key("two")]), session=dead.session_id)

    @requirement("CRA-03", needs="durable")
    async def test_killed_creation_of_a_hub_is_repaired_by_repeating_it(self, hub: Hub) -> None:
        """After a process was killed while it created a task hub, the store opens and `create_hub` works."""
        for _ in range(KILLS):
            await hub.backend.close()
            session = hub.new_session()
            async with running_child("create_and_delete", hub.harness, session) as child:
                assert await child.next_line()
                await some_moment()
                await child.kill()
            async with asyncio.timeout(PATIENCE_S):
                await hub.reopen()
                await hub.backend.create_hub()
            status = await hub.backend.schema_status()
            assert status == SchemaStatus(status.current, status.current)
            hub.session = await hub.join()
            assert not await hub.exists(key("one"))
            await hub.owned()

    @requirement("CRA-04", needs="durable multi_process")
    async def test_killed_process_blocks_no_other(self, hub: Hub) -> None:
        """A process that is killed in the middle of a call blocks no other one that uses the store."""
        await hub.create("receiver")
        for number in range(KILLS):
            mortal = hub.new_session(mortal=True)
            async with running_child("commit_turns", hub.harness, mortal) as child:
                assert await child.next_line()
                await some_moment()
                await child.kill()
            async with asyncio.timeout(PATIENCE_S):
                await _create_at_last(hub, f"after {number}")
            await hub.backend.delete_hub()
            await hub.backend.create_hub()
            hub.session = await hub.join()
            await hub.create("receiver")

    @requirement("CRA-05", needs="durable multi_process")
    async def test_processes_never_own_the_same(self, hub: Hub) -> None:
        """Of several processes that claim at the same time, no two get the same instance, and none is left."""
        ids = [f"one {number}" for number in range(INSTANCES)]
        await hub.create(*ids)
        async with AsyncExitStack() as stack:
            children = [
                await stack.enter_async_context(
                    running_child("finish_all", hub.harness, hub.new_session())
                )
                for _ in range(3)
            ]
            for child in children:
                assert await child.next_line() == "ready"
            for child in children:
                await child.go()
            await asyncio.gather(*(child.until_end() for child in children))
        claimed = [line for child in children for line in child.said if line != "ready"]
        assert sorted(claimed) == sorted(ids)
        assert keys(await hub.claim()) == []
        assert all([(await hub.record(key(name))).status.is_terminal for name in ids])
