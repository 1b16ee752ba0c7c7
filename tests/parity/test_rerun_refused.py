"""Reruns that make no sense, and Dapr's words for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parity.client import Client, Refused
from tests.parity.flows import Context
from tests.parity.hub import Hub
from tests.parity.reruns import ended, heard


async def refused(client: Client, code: str, details: str, *target: Any, **fields: Any) -> None:
    """Ask for a rerun, which has to be refused, and to create nothing."""
    before = await client.ids()
    with pytest.raises(Refused) as found:
        await client.rerun(*target, **fields)
    assert (found.value.code, found.value.details) == (code, details)
    assert await client.ids() == before


def every_kind(ctx: Context):
    """Schedule one of each kind: activity 0, timer 1, child 2, detached workflow 3."""
    yield ctx.activity("work", "x")
    yield ctx.sleep(0.01)
    yield ctx.child("Child", "x", instance_id="kid")
    ctx.detached("Child", "x", instance_id="spawn")
    return "over"


def child(ctx: Context):
    """Schedule more than its parent does."""
    for number in range(6):
        yield ctx.activity("work", str(number))
    return ctx.input


FLOWS = {"Flow": every_kind, "Child": child, "Heard": heard}


@pytest.mark.parity("rerun/completed")
async def test_running_source(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(heard):
        client = sidecar.client
        await client.start("Flow", "old")
        text = "'old' is not in a terminal state"
        await refused(client, "INVALID_ARGUMENT", text, "old", 0)
        await client.send("old", "first", "1")
        await client.send("old", "second", "2")
        await client.output("old")
        await client.rerun("old", 1, "new")
        await client.send("new", "second", "3")
        assert await client.output("new") == "1 3"


@pytest.mark.parity("rerun/suspend")
async def test_suspended_source(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(heard):
        await sidecar.client.start("Flow", "old")
        await sidecar.client.suspend("old")
        text = "'old' is not in a terminal state"
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "old", 0)


@pytest.mark.parity("rerun/fromchild")
async def test_child_as_the_source(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        text = "'kid': cannot rerun from child-workflows"
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "kid", 0)


@pytest.mark.parity("rerun/instanceid")
async def test_own_id_as_the_new_one(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        text = "rerun workflow instance ID must be different from the original instance ID"
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "old", 0, "old")


@pytest.mark.parity("rerun/targetexists")
async def test_new_id_that_is_taken(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        await sidecar.client.start("Heard", "running")
        for taken in ("kid", "running"):
            text = f"workflow '{taken}' has already been created"
            await refused(sidecar.client, "ALREADY_EXISTS", text, "old", 0, taken)
        assert await sidecar.client.status("running") == "RUNNING"


@pytest.mark.parity("rerun/nosource")
async def test_unknown_source(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        text = "workflow instance does not exist with ID 'nobody'"
        await refused(sidecar.client, "NOT_FOUND", text, "nobody", 0)
        text = "rerun workflow source instance ID is required"
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "", 0)


@pytest.mark.parity("rerun/noeventid")
async def test_event_that_does_not_exist(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        for event_id in (5, 77):
            text = f"does not have history event with ID '{event_id}'"
            await refused(sidecar.client, "NOT_FOUND", text, "old", event_id)


@pytest.mark.parity("rerun/suborchestration")
async def test_event_of_a_child(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        scheduled = [event.eventId for event in await sidecar.client.history("kid")]
        assert 5 in scheduled
        text = "does not have history event with ID '5'"
        await refused(sidecar.client, "NOT_FOUND", text, "old", 5)


@pytest.mark.parity("rerun/notscheduleevent")
async def test_event_that_schedules_nothing(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        name = "*protos.HistoryEvent_ExecutionCompleted"
        text = f"target event '{name}' with ID '4' is not an event that can be rerun"
        await refused(sidecar.client, "NOT_FOUND", text, "old", 4)


@pytest.mark.parity("rerun/detached")
async def test_start_of_a_detached_workflow(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        text = (
            "event '3' is a detached workflow spawn and cannot be rerun: detached spawns are "
            "fire-and-forget and have no replayable continuation in the caller"
        )
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "old", 3)


@pytest.mark.parity("rerun/timer-input")
async def test_input_for_a_timer(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        text = "cannot write input to timer event '1'"
        fields = {"input": "y", "overwriteInput": True}
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "old", 1, **fields)


@pytest.mark.parity("rerun/raise-input")
async def test_input_for_a_wait_for_an_event(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await sidecar.client.start("Heard", "old")
        await sidecar.client.send("old", "first")
        await sidecar.client.send("old", "second")
        await sidecar.client.output("old")
        text = "cannot write input to timer event '1'"
        fields = {"input": "y", "overwriteInput": True}
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "old", 1, **fields)


@pytest.mark.parametrize(
    ("event_id", "name"),
    [
        pytest.param(
            0, "activity", id="activity", marks=pytest.mark.parity("rerun/newinstanceid-activity")
        ),
        pytest.param(1, "timer", id="timer", marks=pytest.mark.parity("rerun/newinstanceid-timer")),
    ],
)
async def test_childs_id_for_something_else(hub: Hub, event_id: int, name: str) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar)
        text = f"cannot set new child workflow instance ID on {name} event '{event_id}'"
        fields = {"newChildWorkflowInstanceID": "mine"}
        await refused(sidecar.client, "INVALID_ARGUMENT", text, "old", event_id, **fields)
