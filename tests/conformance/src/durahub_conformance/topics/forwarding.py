"""FWD: what one session hands to another."""

from __future__ import annotations

import asyncio

import pytest
from durahub.backend import MOST_FORWARDED, Envelope, Forwarded
from durahub.errors import BackendUnavailableError, SessionFencedError
from durahub.types import SessionId

from durahub_conformance.hub import MANY, Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.topics.cancellation import ATTEMPTS, cancel_after
from durahub_conformance.topics.hints import is_told
from durahub_conformance.values import OTHER_APP

SLACK = 100
"""How far the most that wait for a session may be from what the contract says."""


async def waiting(hub: Hub, session_id: SessionId) -> list[bytes]:
    """Return what waits for a session."""
    return [envelope.payload for envelope in await taken(hub, session_id)]


async def taken(hub: Hub, session_id: SessionId, *handled: Envelope) -> tuple[Envelope, ...]:
    """Say what a session has handled, and return what else waits for it."""
    numbers = [envelope.number for envelope in handled]
    return await hub.backend.take_forwarded(session_id, numbers, MANY)


async def fill(hub: Hub, target: SessionId) -> int:
    """Forward numbers to a session until that is refused, or far too many wait; return how many wait."""
    for number in range(2 * MOST_FORWARDED):
        try:
            await hub.backend.forward(hub.session, target, b"%d" % number)
        except BackendUnavailableError:
            return number
    return 2 * MOST_FORWARDED


class ForwardingRequirements:
    """Requirements of `peers`, `forward` and `take_forwarded`."""

    @requirement("FWD-01", needs="multi_process")
    async def test_what_is_forwarded_arrives(self, hub: Hub) -> None:
        """What is forwarded waits for its session, byte for byte, in the order of its sender."""
        target = await hub.join()
        payloads = [b"\x00\xff\n", b"", b"same", b"same", bytes(range(256)) * 4096]
        for payload in payloads:
            assert await hub.backend.forward(hub.session, target, payload)
        assert await waiting(hub, target) == payloads

    @requirement("FWD-02", needs="multi_process")
    async def test_envelope_comes_back_until_it_is_handled(self, hub: Hub) -> None:
        """An envelope is returned by every call until it was handled, and by none after that."""
        target = await hub.join()
        for payload in (b"1", b"2", b"3"):
            await hub.backend.forward(hub.session, target, payload)
        one, two, three = await taken(hub, target)
        assert await taken(hub, target) == (one, two, three)
        assert await taken(hub, target, two) == (one, three)
        await hub.backend.forward(hub.session, target, b"4")
        one, three, four = await taken(hub, target, two)
        assert four.payload == b"4"
        assert four.number not in {one.number, two.number, three.number}
        assert await taken(hub, target, one, two, three, four) == ()

    @requirement("FWD-03", needs="multi_process")
    async def test_oldest_envelopes_are_returned_up_to_the_limit(self, hub: Hub) -> None:
        """No more envelopes are returned than the limit says, and none that are younger than others."""
        target = await hub.join()
        for payload in (b"1", b"2", b"3"):
            await hub.backend.forward(hub.session, target, payload)
        first = await hub.backend.take_forwarded(target, (), 2)
        assert [envelope.payload for envelope in first] == [b"1", b"2"]
        assert await hub.backend.take_forwarded(target, (), 0) == ()
        assert await waiting(hub, target) == [b"1", b"2", b"3"]

    @requirement("FWD-04", needs="multi_process")
    async def test_envelope_is_for_its_session_alone(self, hub: Hub) -> None:
        """No session is given, or removes, what was forwarded to another one."""
        target, other = await hub.join(), await hub.join()
        await hub.backend.forward(hub.session, target, b"1")
        (envelope,) = await taken(hub, target)
        assert await taken(hub, other, envelope) == ()
        assert await taken(hub, hub.session, envelope) == ()
        assert await taken(hub, target) == (envelope,)

    @requirement("FWD-05", needs="multi_process")
    async def test_nothing_is_forwarded_to_who_is_not_alive(self, hub: Hub) -> None:
        """`forward` to a session that is unknown, ended or fenced returns False."""
        ended, mortal = await hub.join(), await hub.join(mortal=True)
        await hub.backend.unregister(ended)
        await hub.fence(mortal)
        for to in (ended, mortal, SessionId("unknown")):
            assert await hub.backend.forward(hub.session, to, b"1") is False

    @requirement("FWD-06", needs="multi_process")
    async def test_nothing_is_forwarded_to_other_applications(self, hub: Hub) -> None:
        """`forward` to a session of another application returns False and keeps nothing."""
        other = await hub.join(app_id=OTHER_APP)
        assert await hub.backend.forward(hub.session, other, b"1") is False
        assert await waiting(hub, other) == []

    @requirement("FWD-07", needs="multi_process")
    async def test_fenced_session_forwards_nothing(self, hub: Hub) -> None:
        """`forward` by a session that is not alive raises `SessionFencedError` and keeps nothing."""
        mortal, ended = await hub.join(mortal=True), await hub.join()
        target = await hub.fence(mortal)
        await hub.backend.unregister(ended)
        for sender in (mortal, ended, SessionId("unknown")):
            with pytest.raises(SessionFencedError):
                await hub.backend.forward(sender, target, b"1")
        assert await waiting(hub, target) == []

    @requirement("FWD-08", needs="multi_process")
    async def test_fenced_session_is_given_nothing(self, hub: Hub) -> None:
        """`take_forwarded` of a session that is not alive raises `SessionFencedError`."""
        mortal = await hub.join(mortal=True)
        await hub.backend.forward(hub.session, mortal, b"1")
        await hub.fence(mortal)
        for session_id in (mortal, SessionId("unknown")):
            with pytest.raises(SessionFencedError):
                await taken(hub, session_id)

    @requirement("FWD-09", needs="multi_process")
    async def test_overdue_session_is_still_forwarded_to(self, hub: Hub) -> None:
        """What is overdue is forwarded to until somebody fences it."""
        mortal = await hub.join(mortal=True)
        await hub.wait(2)
        assert await hub.backend.forward(hub.session, mortal, b"1")
        await hub.backend.heartbeat(mortal)
        assert await waiting(hub, mortal) == [b"1"]

    @requirement("FWD-10", needs="multi_process")
    async def test_waiting_envelopes_are_bounded(self, hub: Hub) -> None:
        """About `MOST_FORWARDED` envelopes wait for a session; then `forward` to it, and only to it, raises."""
        target, other = await hub.join(), await hub.join()
        kept = await fill(hub, target)
        assert MOST_FORWARDED - SLACK <= kept <= MOST_FORWARDED + SLACK
        assert await hub.backend.forward(hub.session, other, b"1")
        envelopes = await taken(hub, target)
        assert [envelope.payload for envelope in envelopes] == [b"%d" % n for n in range(kept)]
        await taken(hub, target, *envelopes)
        assert await hub.backend.forward(hub.session, target, b"1")

    @requirement("FWD-11", needs="multi_process hints")
    async def test_target_is_told(self, hub: Hub) -> None:
        """A session is told when another one has forwarded something to it, and nobody else is."""
        target, other = await hub.join(), await hub.join()
        heard: list[object] = []

        async def act(number: int) -> None:
            await hub.backend.forward(hub.session, target, b"%d" % number)

        async def overhear() -> None:
            async for hint in hub.backend.wakeups(other):
                heard.append(hint)  # noqa: PERF401 - it never ends

        async with asyncio.TaskGroup() as group:
            overhearing = group.create_task(overhear())
            await asyncio.sleep(0)
            assert await is_told(hub, target, lambda hint: hint == Forwarded(), act)
            overhearing.cancel()
        assert Forwarded() not in heard

    @requirement("FWD-12", needs="multi_process durable")
    async def test_what_is_forwarded_is_durable(self, hub: Hub) -> None:
        """What was forwarded to a living session outlives the backend, and so does that it was handled."""
        target = await hub.join()
        await hub.backend.forward(hub.session, target, b"1")
        await hub.backend.forward(hub.session, target, b"2")
        one, two = await taken(hub, target)
        await taken(hub, target, one)
        await hub.reopen()
        assert await taken(hub, target) == (two,)

    @requirement("FWD-13", needs="multi_process")
    async def test_cancelled_calls_lose_nothing(self, hub: Hub) -> None:
        """What a cancelled `take_forwarded` would have returned is returned by the next one."""
        target = await hub.join()
        await hub.backend.forward(hub.session, target, b"1")
        for attempt in range(ATTEMPTS):
            await cancel_after(lambda: taken(hub, target), attempt)
            assert await waiting(hub, target) == [b"1"]

    @requirement("FWD-14", without="multi_process")
    async def test_session_of_an_exclusive_store_is_alone(self, hub: Hub) -> None:
        """Where one process can use the store, nothing is owned by others, or forwarded to them."""
        await hub.backend.register(successor := hub.new_session())
        alone = successor.session_id
        assert await hub.backend.owners(alone, "one", None) == ()
        assert await hub.backend.forward(alone, hub.session, b"1") is False
        assert await taken(hub, alone) == ()
