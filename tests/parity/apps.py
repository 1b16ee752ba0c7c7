"""Several applications on one task hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S, Client
from tests.parity.hub import APP, Hub, Sidecar
from tests.parity.worker import Activity, Worker

NO_POLLING = timedelta(seconds=60)
"""What is not told within a test's patience is not found by looking either."""


@asynccontextmanager
async def apps(hub: Hub, *names: str, **options: Any) -> AsyncIterator[list[Sidecar]]:
    """Run a sidecar for each application, or several for one that is named several times."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                hub.sidecar(name, **{"safety_poll": NO_POLLING, **options})
            )
            for name in names
        ]


@asynccontextmanager
async def app(
    hub: Hub, name: str = APP, flows: Any = None, tasks: Any = None, **fields: Any
) -> AsyncIterator[tuple[Sidecar, Worker]]:
    """Run a sidecar with a worker; arguments are those of `Sidecar.worker`."""
    async with apps(hub, name) as (sidecar,), sidecar.worker(flows, tasks, **fields) as worker:
        yield sidecar, worker


async def visit(hub: Hub, name: str, tasks: Any = None, *, answers: int = 1) -> None:
    """Let an application come, give the results of so many activities, and go."""
    async with app(hub, name, None, tasks) as (_, worker):
        await until(lambda: worker.answered >= answers, within_s=ANSWER_S)


def signed(name: str) -> Activity:
    """Return an activity that adds a name to its input."""

    async def run(request: pb.ActivityRequest) -> str | None:
        return f"{request.input.value}>{name}"

    return run


async def until_shows(client: Client, instance_id: str, custom_status: str) -> None:
    """Return when an instance has a custom status, which must not end it."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            state = await client.state(instance_id)
            if state.customStatus.value == custom_status:
                assert state.workflowStatus == pb.ORCHESTRATION_STATUS_RUNNING, state
                return
            await asyncio.sleep(0.01)
