"""Instances are removed without a trace."""

from __future__ import annotations

import pytest
from durahub.protocol import messages as pb

from tests.parity.client import Client, Refused
from tests.parity.flows import EPOCH, Context, all_of
from tests.parity.holding import Held, HeldTurns
from tests.parity.hub import Hub
from tests.parity.store import NOTHING, remains

MISSING = "failed to purge workflow state: no such instance exists"


def busy(ctx: Context):
    """Wait for a timer, an activity, an event and a child."""
    first = ctx.activity("work", "x")
    yield all_of(first, ctx.sleep(0.3), ctx.event("go"), ctx.child("Child"))
    return "over"


def child(ctx: Context):
    return (yield ctx.event("never"))


def timer(ctx: Context):
    yield ctx.sleep(0.4)


async def gone(client: Client, instance_id: str) -> bool:
    """Return whether nothing is known of an instance."""
    with pytest.raises(Refused, match=f"workflow instance '{instance_id}' not found") as refused:
        await client.history(instance_id)
    assert refused.value.code == "NOT_FOUND"
    listed = instance_id in await client.ids()
    return not (await client.get(instance_id)).exists and not listed


@pytest.mark.parity("purge/base")
async def test_purged_instance_is_gone(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.custom_status = "almost"
        yield ctx.sleep(0)
        yield ctx.activity("work", "x")
        return "over"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.output("a")
        assert await sidecar.client.purge("a") == 1
        assert await gone(sidecar.client, "a")
        await sidecar.client.start("Flow", "a", enforceUniqueInstanceId=True)
        await sidecar.client.output("a")
        assert await sidecar.client.purge("a") == 1
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parametrize(
    "force",
    [
        pytest.param(False, id="plain", marks=pytest.mark.parity("purge/notexists")),
        pytest.param(True, id="force", marks=pytest.mark.parity("purge/force-notexists")),
    ],
)
@pytest.mark.parametrize("recursive", [False, True])
async def test_unknown_instance_is_refused(hub: Hub, *, force: bool, recursive: bool) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(busy):
        with pytest.raises(Refused) as refused:
            await sidecar.client.purge("a", force=force, recursive=recursive)
    assert (refused.value.code, refused.value.details) == ("UNKNOWN", MISSING)


@pytest.mark.parity("purge/reminders")
async def test_terminated_instance_is_purged_with_all_it_had_going(hub: Hub) -> None:
    held = Held()
    flows = {"Flow": busy, "Child": child}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, held) as worker:
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        await sidecar.client.terminate("a", recursive=True)
        await sidecar.client.until_status("a:0002", "TERMINATED")
        assert await sidecar.client.purge("a", recursive=True) == 2
        turns = len(worker.requests)
        await sidecar.client.start("Child", "later")
        held.release()
        await sidecar.client.terminate("later")
        assert len(worker.requests) == turns + 2
        assert await sidecar.client.ids() == ["later"]
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("purge/force-base")
async def test_running_instance_is_purged_by_force_only(hub: Hub) -> None:
    flows = {"Flow": busy, "Child": child}
    async with hub.sidecar() as sidecar, sidecar.worker(flows):
        await sidecar.client.start("Flow", "a")
        for recursive in (False, True):
            with pytest.raises(Refused, match="orchestration has not yet completed"):
                await sidecar.client.purge("a", recursive=recursive)
        assert await sidecar.client.status("a") == "RUNNING"
        assert await sidecar.client.purge("a", recursive=True, force=True) == 2
        assert await sidecar.client.ids() == []
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("purge/force-midexecution")
async def test_instance_is_purged_while_its_activity_runs(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.activity("work", "x"))

    held = Held()
    async with hub.sidecar() as sidecar, sidecar.worker(flow, held) as worker:
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        assert await sidecar.client.purge("a", force=True) == 1
        token = worker.items[-1].completionToken
        late = pb.ActivityResponse(instanceId="a", taskId=0, completionToken=token)
        await worker.complete("CompleteActivityTask", late)
        assert await gone(sidecar.client, "a")
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("purge/force-midexecution")
async def test_instance_is_purged_while_a_worker_has_its_turn(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.child("Child"))

    turns = HeldTurns(flow)
    async with hub.sidecar() as sidecar, sidecar.worker(raw=turns) as worker:
        await sidecar.client.start("Flow", "a", at=EPOCH)
        await turns.until_begun()
        assert await sidecar.client.purge("a", force=True, recursive=True) == 1
        turns.release()
        late = await turns(worker.requests[0])
        assert late is not None
        late.completionToken = worker.items[0].completionToken
        await worker.complete("CompleteOrchestratorTask", late)
        assert await gone(sidecar.client, "a")
        assert await sidecar.client.ids() == []
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.needs("multi_process")
@pytest.mark.parity("purge/force-newreplica")
async def test_another_sidecar_purges_what_is_in_flight(hub: Hub) -> None:
    held = Held()
    flows = {"Flow": busy, "Child": child}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, held):
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        async with hub.sidecar() as other:
            assert await other.client.purge("a", force=True, recursive=True) == 2
            assert await gone(other.client, "a")
            assert await gone(sidecar.client, "a")
        held.release()
        await sidecar.client.start("Flow", "b")
        assert await sidecar.client.ids() == ["b", "b:0002"]


@pytest.mark.parity("purge/force-noclient")
async def test_purge_needs_no_worker(hub: Hub) -> None:
    flows = {"Flow": busy, "Child": child}
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flows):
            await sidecar.client.start("Flow", "a")
        assert sidecar.engine.connected_workers == 0
        assert await sidecar.client.purge("a", force=True, recursive=True) == 2
        await sidecar.client.start("Flow", "unseen", at=EPOCH)
        assert await sidecar.client.purge("unseen", force=True) == 1
    async with hub.sidecar() as sidecar:
        assert await sidecar.client.ids() == []
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("purge/force-reminders")
async def test_new_instance_gets_nothing_of_the_one_that_was_purged(hub: Hub) -> None:
    def quiet(ctx: Context):
        return (yield ctx.event("done"))

    held = Held()
    flows = {"Flow": busy, "Child": child, "Quiet": quiet, "Timer": timer}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, held):
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        await sidecar.client.purge("a", force=True, recursive=True)
        await sidecar.client.start("Quiet", "a")
        held.release()
        # A timer that was set after the old one of the instance.
        await sidecar.client.start("Timer", "later")
        await sidecar.client.output("later")
        assert await sidecar.client.kinds("a") == ["workflowStarted", "executionStarted"]
        await sidecar.client.send("a", "done", "untouched")
        assert await sidecar.client.output("a") == "untouched"
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.needs("multi_process")
@pytest.mark.parity("purge/force-remote")
async def test_instance_of_another_application_is_purged_by_force(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, hub.sidecar("other") as other, other.worker(child):
        await other.client.start("Flow", "a")
        with pytest.raises(Refused, match="orchestration has not yet completed"):
            await sidecar.client.purge("a", app="other")
        assert await sidecar.client.purge("a", app="other", force=True) == 1
        assert await gone(other.client, "a")
