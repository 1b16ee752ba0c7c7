"""What one application leaves for another is told; nothing waits for somebody to look.

No sidecar looks by itself for a minute, and all that is asked for here has to happen in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.parity.apps import app, until_shows
from tests.parity.client import Refused
from tests.parity.flows import Context
from tests.parity.hub import APP, Hub, Sidecar

OTHER = "other"
AT_ONCE_S = 5.0
"""Generous for a busy machine, and far from the minute between two looks."""


def flow(ctx: Context):
    work = yield ctx.activity("echo", "1", app=OTHER)
    child = yield ctx.child("Child", "2", app=OTHER)
    ctx.custom_status = f"{work}{child}"
    return (yield ctx.event("go"))


def child(ctx: Context):
    return (yield ctx.activity("echo", ctx.input, app=APP))


@asynccontextmanager
async def both(hub: Hub) -> AsyncIterator[tuple[Sidecar, Sidecar]]:
    flows = {"Flow": flow, "Child": child, "Waiting": lambda ctx: (yield ctx.event("go"))}
    async with app(hub, APP, flows) as (shop, _), app(hub, OTHER, flows) as (other, _):
        yield shop, other


def rounds() -> Iterator[str]:
    return (f"a{number}" for number in range(5))


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/prompt-work")
async def test_activities_children_and_their_results_are_told(hub: Hub) -> None:
    async with both(hub) as (shop, _), asyncio.timeout(AT_ONCE_S):
        for name in rounds():
            await shop.client.start("Flow", name)
            await until_shows(shop.client, name, "12")


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/prompt-calls")
async def test_calls_that_wait_for_instances_of_other_applications_are_told(hub: Hub) -> None:
    async with both(hub) as (shop, other), asyncio.timeout(AT_ONCE_S):
        for name in rounds():
            await shop.client.start("Waiting", name, app=OTHER)
            await shop.client.suspend(name, app=OTHER)
            await shop.client.resume(name, app=OTHER)
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(shop.client.output(name, app=OTHER))
                await asyncio.sleep(0.02)
                await other.client.send(name, "go", "on")
            assert ending.result() == "on"
            await shop.client.start("Waiting", name, app=OTHER)
            await shop.client.terminate(name, app=OTHER)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/prompt-calls")
async def test_call_that_waits_for_an_instance_that_another_application_purges_is_told(
    hub: Hub,
) -> None:
    async with both(hub) as (shop, other), asyncio.timeout(AT_ONCE_S):

        async def wait() -> None:
            with pytest.raises(Refused, match="no such instance exists"):
                await shop.client.finished("a", app=OTHER)

        await other.client.start("Waiting", "a")
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            await asyncio.sleep(0.02)
            await other.client.purge("a", force=True)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/prompt-schedule")
async def test_starts_that_other_applications_schedule_are_told(hub: Hub) -> None:
    def spawning(ctx: Context):
        start = datetime.now(UTC) + timedelta(seconds=0.3)
        ctx.detached("Late", instance_id=f"of {ctx.id}", app=OTHER, scheduledStartTimestamp=start)

    late = {"Late": lambda ctx: ctx.now.isoformat()}
    async with (
        app(hub, APP, spawning) as (shop, _),
        app(hub, OTHER, late) as (other, _),
        asyncio.timeout(AT_ONCE_S),
    ):
        start_at = datetime.now(UTC) + timedelta(seconds=0.3)
        await shop.client.start("Late", "routed", at=start_at, app=OTHER)
        assert datetime.fromisoformat(await other.client.output("routed")) >= start_at
        await shop.client.start("Flow", "a")
        await shop.client.finished("a")
        await other.client.finished("of a")
