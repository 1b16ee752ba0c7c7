"""HNT: hints of what other sessions leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from durahub.backend import Hint, InstanceChanged, WorkDue
from durahub.types import RuntimeStatus, SessionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import OTHER_APP, creation, key, last_turn, task

ATTEMPTS = 20
"""How often a hint may be lost before it counts as never given."""

PATIENCE_S = 0.25
"""How late a hint may be before it counts as lost."""


async def is_told(
    hub: Hub,
    listener: SessionId,
    wanted: Callable[[Hint], bool],
    act: Callable[[int], Awaitable[None]],
) -> bool:
    """Whether a listener gets a hint after at least one of several acts."""
    heard = asyncio.Event()

    async def listen() -> None:
        async for hint in hub.backend.wakeups(listener):
            if wanted(hint):
                heard.set()

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        for number in range(ATTEMPTS):
            await asyncio.sleep(0)
            await act(number)
            try:
                await asyncio.wait_for(heard.wait(), PATIENCE_S)
            except TimeoutError:
                continue
            break
        listening.cancel()
    return heard.is_set()


class HintRequirements:
    """Requirements of `wakeups`."""

    @requirement("HNT-01", needs="hints")
    async def test_work_left_by_others_is_told(self, hub: Hub) -> None:
        """A session is told when another one leaves work that it can claim."""

        async def act(number: int) -> None:
            await hub.create(f"one {number}")

        listener = await hub.join()
        assert await is_told(hub, listener, lambda hint: isinstance(hint, WorkDue), act)

    @requirement("HNT-02", needs="hints")
    async def test_changes_by_others_are_told(self, hub: Hub) -> None:
        """A session is told when another one changes the status of an instance."""
        await hub.create("one")
        states = [RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED]

        async def act(number: int) -> None:
            claimed = await hub.claim_one()
            await hub.commit(claimed, consumed=(), status=states[number % 2])

        wanted = InstanceChanged(key("one"))
        listener = await hub.join()
        assert await is_told(hub, listener, lambda hint: hint == wanted, act)

    @requirement("HNT-03")
    async def test_wakeups_wait_until_cancelled(self, hub: Hub) -> None:
        """`wakeups` ends only when it is cancelled, and then at once; without hints it just waits."""
        ended = asyncio.Event()

        async def listen() -> None:
            async for _ in hub.backend.wakeups(hub.session):
                pass
            ended.set()

        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            await hub.create(creation("one"))
            await hub.do(last_turn(await hub.claim_one()))
            await asyncio.sleep(0.05)
            assert not listening.done()
            listening.cancel()
        assert not ended.is_set()

    @requirement("HNT-04", without="hints")
    async def test_backend_without_hints_gives_none(self, hub: Hub) -> None:
        """A backend whose capabilities lack hints yields nothing and waits."""

        async def act(number: int) -> None:
            await hub.create(f"one {number}")
            for claimed in await hub.claim():
                await hub.do(last_turn(claimed))

        heard: list[Hint] = []

        async def listen() -> None:
            async for hint in hub.backend.wakeups(hub.session):
                heard.append(hint)  # noqa: PERF401 - it never ends

        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            for number in range(3):
                await act(number)
                await asyncio.sleep(0.02)
            listening.cancel()
        assert heard == []

    @requirement("HNT-05", needs="hints")
    async def test_creation_that_others_scheduled_is_told(self, hub: Hub) -> None:
        """A session is told when another one, of whatever application, schedules an instance for it."""

        async def act(number: int) -> None:
            later = await hub.later(10)
            await hub.do(creation(f"one {number}", not_before=later), session=scheduler)

        listener = await hub.join()
        scheduler = await hub.join(app_id=OTHER_APP)
        assert await is_told(hub, listener, lambda hint: isinstance(hint, WorkDue), act)
        assert (await hub.claims(session=listener)).next_due_at is not None

    @requirement("HNT-06", needs="hints")
    async def test_activities_for_other_applications_are_told(self, hub: Hub) -> None:
        """A session is told of an activity task that an instance of another application schedules for it."""

        async def act(number: int) -> None:
            claimed = await hub.owned(f"one {number}")
            await hub.commit(claimed, activities=(task(claimed, 1, app_id=OTHER_APP),))

        listener = await hub.join(app_id=OTHER_APP)
        assert await is_told(hub, listener, lambda hint: isinstance(hint, WorkDue), act)
        assert await hub.claim_tasks(session=listener)

    @requirement("HNT-07", needs="hints")
    async def test_end_of_a_session_is_told(self, hub: Hub) -> None:
        """A session is told when another one of its application ends, even if that owned nothing."""

        async def act(_: int) -> None:
            await hub.backend.unregister(await hub.join())

        listener = await hub.join()
        assert await is_told(hub, listener, lambda hint: isinstance(hint, WorkDue), act)

    @requirement("HNT-08", needs="hints")
    async def test_changes_are_told_to_every_application(self, hub: Hub) -> None:
        """A session is told when the status of an instance of another application changes."""
        await hub.create("one")
        states = [RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED]

        async def act(number: int) -> None:
            claimed = await hub.claim_one()
            await hub.commit(claimed, consumed=(), status=states[number % 2])

        wanted = InstanceChanged(key("one"))
        listener = await hub.join(app_id=OTHER_APP)
        assert await is_told(hub, listener, lambda hint: hint == wanted, act)
