"""Instances whose code does not fit: parked, visibly, until a fitting worker connects."""

from __future__ import annotations

import pytest
from durahub.protocol import messages as pb

from tests.parity.client import Refused
from tests.parity.flows import Context, Versioned, decide
from tests.parity.hub import Hub
from tests.parity.stalling import (
    PATCH,
    PATCH_ORDER,
    VERSION,
    Misfit,
    patched_with,
    stall,
    stall_again,
    stalls,
)


def both(line: str) -> pytest.MarkDecorator:
    """Run a test with a patch and with a version that does not fit, each for the line of its section."""
    return pytest.mark.parametrize(
        "misfit",
        [
            pytest.param(PATCH, id="patch", marks=pytest.mark.parity(f"patching/{line}")),
            pytest.param(VERSION, id="version", marks=pytest.mark.parity(f"versioning/{line}")),
        ],
    )


@pytest.mark.parametrize(
    "misfit",
    [
        pytest.param(PATCH, id="less", marks=pytest.mark.parity("patching/stalled-patchmissing")),
        pytest.param(
            PATCH_ORDER, id="order", marks=pytest.mark.parity("patching/stalled-patchorder")
        ),
        pytest.param(
            VERSION, id="version", marks=pytest.mark.parity("versioning/stalled-notavailable")
        ),
    ],
)
async def test_unfit_code_stalls_with_daprs_words(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
        state = await sidecar.client.state("a")
        assert state.failureDetails.errorMessage == misfit.reason
        assert not state.HasField("output")
        assert await stalls(sidecar.client) == [(misfit.kind, misfit.reason)]
        # Nothing of the turn that could not be applied is in the history.
        assert await sidecar.client.kinds("a") == [
            "workflowStarted",
            "executionStarted",
            "executionStalled",
        ]


@pytest.mark.parity("versioning/stalled-notavailable")
async def test_no_version_is_run_instead_of_the_missing_one(hub: Hub) -> None:
    ran = []

    def newer(ctx: Context):
        ran.append(ctx.id)
        return "newer"

    misfit = Misfit(VERSION.good, Versioned({"v2": newer}, latest="v2"), VERSION.kind, "")
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
        assert ran == []


@both("stalled-amenderror")
async def test_amended_code_completes_after_a_restart(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
    async with hub.sidecar() as sidecar:
        assert await sidecar.client.status("a") == "STALLED"
        async with sidecar.worker(misfit.good):
            assert await sidecar.client.output("a") == "x"
            assert not (await sidecar.client.state("a")).HasField("failureDetails")


@both("stalled-recoverclient")
async def test_fitting_worker_completes_without_a_restart(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
        async with sidecar.worker(misfit.good):
            assert await sidecar.client.output("a") == "x"
            kinds = await sidecar.client.kinds("a")
    end = ["workflowStarted", "eventRaised", "executionCompleted"]
    assert kinds == ["workflowStarted", "executionStarted", "executionStalled", *end]


@both("stalled-uniquestalledevent")
async def test_history_names_a_reason_once(hub: Hub, misfit: Misfit) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
        await stall_again(sidecar, misfit.bad)
    async with hub.sidecar() as sidecar:
        await stall_again(sidecar, misfit.bad)
        assert await stalls(sidecar.client) == [(misfit.kind, misfit.reason)]


@pytest.mark.parity("patching/stalled-allowduplicatedevents")
async def test_each_reason_has_an_event(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, PATCH)
        for unfit in (patched_with("b", "a"), PATCH.bad, patched_with()):
            await stall_again(sidecar, unfit)
        assert [reason for _, reason in await stalls(sidecar.client)] == [
            f"Patch mismatch. History patches: [a, b], current patches: [{current}]. "
            for current in ("a", "b, a", "")
        ]


def refusals() -> list[object]:
    """Return each request that a stalled instance refuses, with each cause."""
    prefixes = {
        "raiseevent": "",
        "suspend": "",
        "resume": "",
        "terminate": "failed to submit termination request: ",
        "purge": "failed to purge workflow state: ",
    }
    return [
        pytest.param(
            misfit,
            request,
            f"{prefix}workflow is stalled",
            id=f"{section}-{request}",
            marks=pytest.mark.parity(f"{section}/stalled-{request}"),
        )
        for section, misfit in (("patching", PATCH), ("versioning", VERSION))
        for request, prefix in prefixes.items()
    ]


@pytest.mark.parametrize(("misfit", "request_name", "details"), refusals())
async def test_stalled_instance_refuses(
    hub: Hub, misfit: Misfit, request_name: str, details: str
) -> None:
    async with hub.sidecar() as sidecar:
        await stall(sidecar, misfit)
        client = sidecar.client
        call = {
            "raiseevent": lambda: client.send("a", "go"),
            "suspend": lambda: client.suspend("a"),
            "resume": lambda: client.resume("a"),
            "terminate": lambda: client.terminate("a"),
            "purge": lambda: client.purge("a"),
        }[request_name]
        with pytest.raises(Refused) as refused:
            await call()
        assert (refused.value.code, refused.value.details) == ("UNKNOWN", details)
        assert await client.status("a") == "STALLED"
        if request_name == "purge":
            assert await client.purge("a", force=True) == 1
            assert not (await client.get("a")).exists
        else:
            async with sidecar.worker(misfit.good):
                assert await client.output("a") == "x"


@pytest.mark.parity("versioning/stalled-timerinbox")
async def test_stall_at_a_timer_shows_one_state_and_yields_to_force(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.custom_status = "asleep"
        yield ctx.sleep(0.2)
        return "woken"

    async def first_turn(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        return None if request.pastEvents else decide(request, [], {"Flow": good})

    good = Versioned({"v1": flow}, latest="v1")
    async with hub.sidecar() as sidecar:
        client = sidecar.client
        async with sidecar.worker(raw=first_turn):
            await client.start("Flow", "a", "in")
            await client.start("Flow", "b", "in")
        async with sidecar.worker(VERSION.bad):
            for instance_id in "ab":
                await client.until_status(instance_id, "STALLED")
        state = await client.state("a")
        assert (state.input.value, state.customStatus.value) == ("in", "asleep")
        assert state.failureDetails.errorMessage == "Version not available: v1"
        assert await client.kinds("a") == [
            "workflowStarted",
            "executionStarted",
            "timerCreated",
            "executionStalled",
        ]
        assert await client.ids() == ["a", "b"]
        assert await client.purge("a", force=True) == 1
        assert await client.ids() == ["b"]
        async with sidecar.worker(good):
            assert await client.output("b") == "woken"
            assert (await client.kinds("b")).count("timerFired") == 1
