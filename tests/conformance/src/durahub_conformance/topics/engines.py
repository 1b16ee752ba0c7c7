"""ENG: an engine on the backend runs workflows from their start to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from durahub.engine import Engine
from durahub.protocol import messages as pb
from google.protobuf.wrappers_pb2 import StringValue

from durahub_conformance import scripted
from durahub_conformance.child import running_child
from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement

PATIENCE_S = 40.0
"""How long workflows may take altogether; far more than they need."""

FLOWS = 5
EVENTS = 20
AT_ONCE = 3


def order(events: scripted.Events) -> Sequence[pb.WorkflowAction]:
    """Run three activities one after the other, three children at the same time, and wait a little."""
    name, found = scripted.input_of(events), scripted.results(events)
    for number in range(3):
        if number not in found:
            return [scripted.activity(number, found.get(number - 1, name))]
    if not {3, 4, 5, 6} <= set(found):
        children = [scripted.child(number, "item", f"{name}/{number}") for number in (3, 4, 5)]
        return [*children, scripted.sleep(6, events, timedelta(seconds=0.3))]
    return [scripted.ending(7, " ".join(found[number] for number in range(2, 7)))]


def item(events: scripted.Events) -> Sequence[pb.WorkflowAction]:
    """Run one activity."""
    found = scripted.results(events)
    if 0 in found:
        return [scripted.ending(1, found[0])]
    return [scripted.activity(0, scripted.input_of(events))]


def collect(events: scripted.Events) -> Sequence[pb.WorkflowAction]:
    """Take in some events at a time, begin anew with what is left, and end when all have come."""
    waiting = scripted.raised(events)
    taken, left = waiting[:AT_ONCE], waiting[AT_ONCE:]
    seen = [*scripted.input_of(events).split(), *(e.eventRaised.input.value for e in taken)]
    if len(seen) == EVENTS:
        return [scripted.ending(0, " ".join(seen))]
    return [scripted.beginning_anew(" ".join(seen), left)] if taken else []


def endless(events: scripted.Events) -> Sequence[pb.WorkflowAction]:
    """Have a child that waits for ever, as this workflow does."""
    name = scripted.input_of(events)
    return [] if name.endswith("/0") else [scripted.child(0, "endless", f"{name}/0")]


WORKFLOWS: Mapping[str, scripted.Workflow] = {
    "order": order,
    "item": item,
    "collect": collect,
    "endless": endless,
}


def order_result(name: str) -> str:
    """Return what comes of the workflow `order`."""
    return f"{name}+++ {name}/3+ {name}/4+ {name}/5+ fired"


async def start(engine: Engine, name: str, instance_id: str, value: str | None = None) -> None:
    """Start a workflow, with its id as its input unless another is given."""
    text = StringValue(value=instance_id if value is None else value)
    request = pb.CreateInstanceRequest(instanceId=instance_id, name=name, input=text)
    await engine.client.start(request)


async def end_of(engine: Engine, instance_id: str) -> pb.WorkflowState:
    """Wait for the end of a workflow."""
    request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
    return (await engine.client.wait_for_completion(request)).workflowState


class EngineRequirements:
    """Requirements of whole workflows."""

    @requirement("ENG-01")
    async def test_workflows_with_activities_children_and_timers_complete(self, hub: Hub) -> None:
        """Workflows with activities, children and timers complete with their results, many at a time."""
        await hub.backend.close()
        async with (
            asyncio.timeout(PATIENCE_S),
            scripted.engine_on(hub.harness, WORKFLOWS) as engine,
        ):
            names = [f"order {number}" for number in range(FLOWS)]
            await asyncio.gather(*(start(engine, "order", name) for name in names))
            ends = await asyncio.gather(*(end_of(engine, name) for name in names))
            assert [end.output.value for end in ends] == [order_result(name) for name in names]

    @requirement("ENG-02")
    async def test_events_survive_continue_as_new_in_order(self, hub: Hub) -> None:
        """A workflow that continues as new sees every event that was raised, once and in order."""
        await hub.backend.close()
        async with (
            asyncio.timeout(PATIENCE_S),
            scripted.engine_on(hub.harness, WORKFLOWS) as engine,
        ):
            await start(engine, "collect", "one", "")
            for number in range(EVENTS):
                value = StringValue(value=str(number))
                request = pb.RaiseEventRequest(instanceId="one", name="go", input=value)
                await engine.client.raise_event(request)
            end = await end_of(engine, "one")
            assert end.output.value == " ".join(map(str, range(EVENTS)))

    @requirement("ENG-03")
    async def test_terminated_workflow_ends_with_its_children_and_can_be_purged(
        self, hub: Hub
    ) -> None:
        """A workflow that is terminated ends with its children, and a purge leaves nothing of them."""
        await hub.backend.close()
        async with (
            asyncio.timeout(PATIENCE_S),
            scripted.engine_on(hub.harness, WORKFLOWS) as engine,
        ):
            await start(engine, "endless", "one")
            await engine.client.terminate(pb.TerminateRequest(instanceId="one", recursive=True))
            for name in ("one", "one/0"):
                end = await end_of(engine, name)
                assert end.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED
            request = pb.PurgeInstancesRequest(instanceId="one", recursive=True)
            assert (await engine.client.purge(request)).deletedInstanceCount == 2
            found = await engine.client.get(pb.GetInstanceRequest(instanceId="one"))
            assert not found.exists

    @requirement("ENG-04", needs="durable")
    async def test_workflows_complete_after_their_sidecar_was_killed(self, hub: Hub) -> None:
        """After a process with an engine was killed, another one completes its workflows."""
        await hub.backend.close()
        async with running_child("run_orders", hub.harness, hub.new_session()) as child:
            # The last one has hardly begun then.
            assert await child.next_line() == "started"
            await child.kill()
        names = [f"order {number}" for number in range(FLOWS)]
        again: list[str] = []
        async with (
            asyncio.timeout(PATIENCE_S),
            scripted.engine_on(hub.harness, WORKFLOWS, again) as engine,
        ):
            ends = await asyncio.gather(*(end_of(engine, name) for name in names))
        assert [end.output.value for end in ends] == [order_result(name) for name in names]
        assert again, "everything was done before the kill"
