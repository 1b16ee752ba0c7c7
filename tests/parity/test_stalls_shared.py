"""Stalls with several workers, and with several sidecars."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.protocol import messages as pb

from tests.parity.flows import Context
from tests.parity.hub import Hub
from tests.parity.stalling import PATCH, VERSION, Misfit, stall, stall_again, stalls

SOON = timedelta(milliseconds=100)

each_misfit = pytest.mark.parametrize("misfit", [PATCH, VERSION], ids=["patch", "version"])


@pytest.mark.parity("stalled/base")
@each_misfit
async def test_stalled_instance_waits_for_the_fitting_worker(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(sidecar.client.output("a"))
            await stall_again(sidecar, misfit.bad)
            assert not waiting.done()
            async with sidecar.worker(misfit.good):
                assert await waiting == "x"


@pytest.mark.parity("stalled/manyclients")
@each_misfit
async def test_many_unfit_workers_stall_once(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(misfit.good):
            await sidecar.client.start("Flow", "a")
        async with (
            sidecar.worker(misfit.bad),
            sidecar.worker(misfit.bad, stateful=True),
            sidecar.worker(misfit.bad),
        ):
            await sidecar.client.send("a", "go", "x")
            await sidecar.client.until_status("a", "STALLED")
            assert await stalls(sidecar.client) == [(misfit.kind, misfit.reason)]
            async with sidecar.worker(misfit.good):
                assert await sidecar.client.output("a") == "x"


@pytest.mark.parity("stalled/maxbodysize")
async def test_instance_too_large_for_a_sidecar_goes_on_in_a_larger_one(hub: Hub) -> None:
    def flow(ctx: Context):
        for _ in range(3):
            yield ctx.activity("large")
        return "done"

    async def large(_: pb.ActivityRequest) -> str | None:
        return "x" * 4_000

    async with (
        hub.sidecar(max_message_bytes=10_000) as sidecar,
        sidecar.worker(flow, large),
        sidecar.worker(flow, large, stateful=True),
    ):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("a", "STALLED")
        assert [reason for reason, _ in await stalls(sidecar.client)] == [pb.PAYLOAD_SIZE_EXCEEDED]
    async with hub.sidecar(max_message_bytes=100_000) as sidecar, sidecar.worker(flow, large):
        assert await sidecar.client.output("a") == "done"


@pytest.mark.parity("stalled/workersubset")
@each_misfit
@pytest.mark.parametrize("stateful", [False, True])
async def test_fitting_worker_among_others_is_found(
    hub: Hub, misfit: Misfit, *, stateful: bool
) -> None:
    names = [str(number) for number in range(6)]
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(misfit.bad, stateful=stateful),
        sidecar.worker(misfit.bad, stateful=stateful),
    ):
        async with sidecar.worker(misfit.good, stateful=stateful):
            for name in names:
                await sidecar.client.start("Flow", name)
            for name in names:
                await sidecar.client.send(name, "go", name)
                assert await sidecar.client.output(name) == name
        assert [await stalls(sidecar.client, name) for name in names] == [[]] * len(names)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("patching/stalled-upgradereplica")
@each_misfit
async def test_replica_with_fitting_code_completes_what_stalled(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as outdated:
        await stall(outdated, misfit)
        async with (
            outdated.worker(misfit.bad),
            hub.sidecar(safety_poll=SOON) as upgraded,
            upgraded.worker(misfit.good),
        ):
            assert await upgraded.client.output("a") == "x"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("stalled/workermigrate")
@each_misfit
async def test_stalled_instance_goes_on_at_another_sidecar(hub: Hub, misfit: Misfit) -> None:
    """The fitting worker is there before the instance stalls, so nobody connects afterwards."""
    async with hub.sidecar() as outdated:
        async with outdated.worker(misfit.good):
            await outdated.client.start("Flow", "a")
        async with (
            outdated.worker(misfit.bad),
            hub.sidecar(safety_poll=SOON) as other,
            other.worker(misfit.good),
        ):
            await outdated.client.send("a", "go", "x")
            assert await other.client.output("a") == "x"
            assert await stalls(other.client) == [(misfit.kind, misfit.reason)]
