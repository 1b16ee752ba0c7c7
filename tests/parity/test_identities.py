"""Ids that are alike, and answers that are meant for something else."""

from __future__ import annotations

import pytest
from durahub.protocol import messages as pb

from tests.parity.client import Refused
from tests.parity.flows import EPOCH, Context
from tests.parity.holding import Held, HeldTurns
from tests.parity.hub import Hub


def waiting(ctx: Context):
    return (yield ctx.event("go"))


@pytest.mark.parity("loadbalance/conflict")
async def test_same_ids_of_two_applications_are_two_instances(hub: Hub) -> None:
    for app in ("one", "two"):
        async with hub.sidecar(app) as sidecar, sidecar.worker(waiting):
            assert not (await sidecar.client.get("a")).exists
            await sidecar.client.start("Flow", "a", app)
    async with hub.sidecar("one") as sidecar, sidecar.worker(waiting):
        await sidecar.client.send("a", "go", "of one")
        assert await sidecar.client.output("a") == "of one"
        assert await sidecar.client.purge("a") == 1
        assert await sidecar.client.ids() == []
    async with hub.sidecar("two") as sidecar, sidecar.worker(waiting):
        state = await sidecar.client.state("a")
        assert (state.input.value, state.workflowStatus) == (
            "two",
            pb.ORCHESTRATION_STATUS_RUNNING,
        )
        await sidecar.client.terminate("a")
        assert await sidecar.client.status("a") == "TERMINATED"


@pytest.mark.parity("loadbalance/keycollision")
async def test_ids_that_look_like_parts_of_others_are_instances(hub: Hub) -> None:
    def flow(ctx: Context):
        child = yield ctx.child("Child", ctx.id)
        own = yield ctx.activity("work", ctx.id)
        return f"{child} {own}"

    def child(ctx: Context):
        return ctx.input

    names = ["a", "a::1", "a::1::1", "a:0001", "a||a", "a/1", "history-000000", "metadata", "a:0"]
    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": child}):
        for name in names:
            await sidecar.client.start("Flow", name)
        for name in names:
            assert await sidecar.client.output(name) == f"{name} {name}"
            assert await sidecar.client.output(f"{name}:0000") == name


@pytest.mark.parity("loadbalance/stalecompletion")
@pytest.mark.parametrize("go", [False, True])
async def test_answer_of_a_worker_that_lost_the_turn_is_ignored(hub: Hub, *, go: bool) -> None:
    stale = HeldTurns(lambda _: "stale")
    method = "CompleteWorkflowTask" if go else "CompleteOrchestratorTask"
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(raw=stale) as loser:
            await sidecar.client.start("Flow", "a", at=EPOCH)
            await stale.until_begun()
        fresh = HeldTurns(lambda _: "fresh")
        async with sidecar.worker(raw=fresh, go=go) as winner:
            await fresh.until_begun()
            stale.release()
            answer = await stale(loser.requests[0])
            assert answer is not None
            answer.completionToken = loser.items[0].completionToken
            assert answer.completionToken != winner.items[0].completionToken
            await winner.complete(method, answer)
            assert await sidecar.client.status("a") == "PENDING"
            fresh.release()
            assert await sidecar.client.output("a") == "fresh"
            await winner.complete(method, answer)
            assert await sidecar.client.output("a") == "fresh"


@pytest.mark.parity("loadbalance/canorphan")
async def test_orphan_of_an_earlier_generation_answers_nobody(hub: Hub) -> None:
    def flow(ctx: Context):
        if ctx.input == "1":
            # The first generation goes on without waiting for it.
            ctx.activity("old", "of the first")
            yield ctx.event("go")
            return ctx.continue_as_new("2")
        return (yield ctx.activity("new", "of the second"))

    old, new = Held(), Held()
    async with hub.sidecar() as sidecar, sidecar.worker(flow, {"old": old, "new": new}) as worker:
        await sidecar.client.start("Flow", "a", "1")
        await old.until_begun()
        await sidecar.client.send("a", "go")
        await new.until_begun()
        assert [task.taskId for task in worker.tasks] == [0, 0]
        old.release()
        await sidecar.client.start("Flow", "afterwards", "2", at=EPOCH)
        await new.until_begun(2)
        assert (await sidecar.client.kinds("a")).count("taskCompleted") == 0
        new.release()
        assert await sidecar.client.output("a") == "of the second"
        assert (await sidecar.client.kinds("a")).count("taskCompleted") == 1


@pytest.mark.parity("security/appscoping")
async def test_other_applications_instances_are_out_of_reach(hub: Hub) -> None:
    async with hub.sidecar("app0") as sidecar, sidecar.worker(waiting):
        await sidecar.client.start("Flow", "a")
    async with hub.sidecar("app1") as sidecar, sidecar.worker(waiting):
        client = sidecar.client
        assert not (await client.get("a")).exists
        assert await client.ids() == []
        for call in (
            client.send("a", "go"),
            client.terminate("a"),
            client.suspend("a"),
            client.resume("a"),
            client.purge("a", force=True),
            client.finished("a"),
            client.started("a"),
            client.rerun("a", 0),
            client.history("a"),
        ):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.details.endswith(
                ("no such instance exists", "does not exist with ID 'a'", "'a' not found")
            )
    async with hub.sidecar("app0") as sidecar, sidecar.worker(waiting):
        await sidecar.client.send("a", "go", "untouched")
        assert await sidecar.client.output("a") == "untouched"
        assert await sidecar.client.kinds("a") == [
            "workflowStarted",
            "executionStarted",
            "workflowStarted",
            "eventRaised",
            "executionCompleted",
        ]
