"""What tests of reruns share."""

from __future__ import annotations

from durahub.protocol import messages as pb

from tests.parity.flows import Context, all_of
from tests.parity.hub import Sidecar
from tests.parity.worker import Worker


def sequence(ctx: Context):
    """Run five activities, one after the other."""
    results = []
    for number in range(5):
        result = yield ctx.activity("work", f"{ctx.input}{number}")
        results.append(result)
    return ",".join(results)


def parallel(ctx: Context):
    """Run five activities at the same time."""
    return ",".join((yield all_of(*[ctx.activity("work", str(number)) for number in range(5)])))


def heard(ctx: Context):
    """Wait for two events, one after the other."""
    first = yield ctx.event("first", -1)
    second = yield ctx.event("second", -1)
    return f"{first} {second}"


async def ended(sidecar: Sidecar, name: str = "Flow", value: str | None = None) -> str:
    """Return the id of an instance `old` that has completed."""
    await sidecar.client.start(name, "old", value)
    await sidecar.client.output("old")
    return "old"


def ran(worker: Worker, instance_id: str) -> list[str]:
    """Return the inputs of the activities that were run for an instance."""
    return [
        task.input.value for task in worker.tasks if task.workflowInstance.instanceId == instance_id
    ]


def reran_from(history: list[pb.HistoryEvent]) -> dict[int, str]:
    """Return which events of a history name the source of a rerun, by event id."""
    found = {}
    for event in history:
        body = getattr(event, event.WhichOneof("eventType") or "")
        if "rerunParentInstanceInfo" in body.DESCRIPTOR.fields_by_name and body.HasField(
            "rerunParentInstanceInfo"
        ):
            found[event.eventId] = body.rerunParentInstanceInfo.instanceID
    return found
