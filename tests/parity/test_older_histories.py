"""Workflows that an older SDK began and a current one finishes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.parity.flows import END_OF_TIME, Context
from tests.parity.hub import Hub
from tests.parity.python_sdk import replayed_by_sdk

BEGIN = ["workflowStarted", "executionStarted"]
RAISED = ["workflowStarted", "eventRaised"]


async def began_and_finished(
    hub: Hub, old: Callable[[Context], Any], new: Callable[[Any, Any], Any], resolved: str
) -> list[str | None]:
    """Let the old code run to its second wait and the new one from there; return the history."""
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(old, first_id=1):
            await sidecar.client.start("Flow", "a")
            await sidecar.client.send("a", "go", '"now"')
            await sidecar.client.until_event("a", resolved)
        async with sidecar.worker(raw=replayed_by_sdk({"Flow": new})):
            await sidecar.client.send("a", "go on", '"later"')
            assert json.loads(await sidecar.client.output("a")) == "now later"
            events = await sidecar.client.history("a")
    # The current SDK would have made timers of both waits, the first of which is not in the history.
    assert [event for event in events if event.timerCreated.fireAt == END_OF_TIME] == []
    return [event.WhichOneof("eventType") for event in events]


@pytest.mark.parity("externalevent/activity")
async def test_wait_then_activity_of_an_older_sdk(hub: Hub) -> None:
    def old(ctx: Context):
        yield ctx.event("go")
        yield ctx.activity("work")
        yield ctx.event("go on")

    def new(ctx: Any, _: Any):
        first = yield ctx.wait_for_external_event("go")
        yield ctx.call_activity("work")
        second = yield ctx.wait_for_external_event("go on")
        return f"{first} {second}"

    assert await began_and_finished(hub, old, new, "taskCompleted") == [
        *BEGIN,
        *[*RAISED, "taskScheduled"],
        *["workflowStarted", "taskCompleted"],
        *[*RAISED, "executionCompleted"],
    ]


@pytest.mark.parity("externalevent/timer")
async def test_wait_then_timer_of_an_older_sdk(hub: Hub) -> None:
    def old(ctx: Context):
        yield ctx.event("go")
        yield ctx.sleep(0.1)
        yield ctx.event("go on")

    def new(ctx: Any, _: Any):
        first = yield ctx.wait_for_external_event("go")
        yield ctx.create_timer(timedelta(seconds=0.1))
        second = yield ctx.wait_for_external_event("go on")
        return f"{first} {second}"

    assert await began_and_finished(hub, old, new, "timerFired") == [
        *BEGIN,
        *[*RAISED, "timerCreated"],
        *["workflowStarted", "timerFired"],
        *[*RAISED, "executionCompleted"],
    ]
