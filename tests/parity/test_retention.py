"""Ended instances are removed when they have been kept long enough."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from durahub.engine.expiry import RetentionPolicy
from durahub.protocol import messages as pb

from tests.parity.client import ANSWER_S, Client, Refused
from tests.parity.flows import EPOCH, Context
from tests.parity.hub import Hub
from tests.parity.stalling import PATCH, VERSION, Misfit, stall
from tests.parity.store import NOTHING, remains

SOON, LATER, NEVER = timedelta(seconds=0.6), timedelta(seconds=1.5), timedelta(hours=168)
"""`LATER` is for tests that look at an instance before it goes."""


def keeping(**periods: timedelta) -> dict[str, object]:
    """Return the options of a sidecar that keeps ended instances for these times."""
    return {
        "retention": RetentionPolicy.most_specific(**periods),
        "retention_sweep": timedelta(milliseconds=200),
    }


def flow(ctx: Context):
    """End as the input says."""
    if ctx.input == "FAILED":
        raise ValueError("broken")
    if ctx.input == "TERMINATED":
        yield ctx.event("never")
    yield ctx.activity("work", "x")
    return ctx.input


async def end(client: Client, instance_id: str, status: str = "COMPLETED") -> None:
    """Start an instance that ends with a status; it may be gone on return."""
    await client.start("Flow", instance_id, status)
    if status == "TERMINATED":
        await client.terminate(instance_id)


async def gone(client: Client, *instance_ids: str) -> None:
    """Return when none of the instances exists any more."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            found = [await client.get(instance_id) for instance_id in instance_ids]
            if not any(one.exists for one in found):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parity("retention/base")
async def test_instance_is_kept_for_its_time(hub: Hub) -> None:
    async with hub.sidecar(**keeping(any_terminal=LATER)) as sidecar, sidecar.worker(flow):
        await end(sidecar.client, "a")
        ended_at = (await sidecar.client.finished("a")).completedTimestamp.ToDatetime(UTC)
        assert await sidecar.client.ids() == ["a"]
        await gone(sidecar.client, "a")
        assert datetime.now(UTC) - ended_at >= LATER
        assert await sidecar.client.ids() == []
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parametrize(
    "status",
    [
        pytest.param("COMPLETED", marks=pytest.mark.parity("retention/completed")),
        pytest.param("FAILED", marks=pytest.mark.parity("retention/failed")),
        pytest.param("TERMINATED", marks=pytest.mark.parity("retention/terminated")),
    ],
)
async def test_policy_for_a_status_is_for_no_other(hub: Hub, status: str) -> None:
    statuses = ["COMPLETED", "FAILED", "TERMINATED"]
    policy = keeping(**{status.lower(): SOON})
    async with hub.sidecar(**policy) as sidecar, sidecar.worker(flow):
        for name in statuses:
            await end(sidecar.client, name, name)
        await gone(sidecar.client, status)
        # One that ended after the others has gone, too.
        await end(sidecar.client, "later", status)
        await gone(sidecar.client, "later")
        assert await sidecar.client.ids() == [name for name in statuses if name != status]


@pytest.mark.parity("retention/zero")
async def test_no_time_at_all_removes_at_once_and_leaves_callers_their_result(hub: Hub) -> None:
    policy = keeping(any_terminal=timedelta(0))
    async with hub.sidecar(**policy) as sidecar, sidecar.worker(flow):
        client = sidecar.client
        names = [str(number) for number in range(10)]
        for name in names:
            await client.start("Flow", name, name, at=EPOCH)
        await client.start("Flow", "waited for", "TERMINATED")
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(client.finished("waited for")) for _ in range(5)]
            await asyncio.sleep(0.05)
            await client.terminate("waited for", "over")
        assert {task.result().output.value for task in waiting} == {"over"}
        await gone(client, "waited for", *names)
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("retention/high")
async def test_long_time_keeps(hub: Hub) -> None:
    policy = keeping(completed=NEVER, terminated=timedelta(0))
    for run in ("1", "2"):
        async with hub.sidecar(**policy) as sidecar, sidecar.worker(flow):
            await end(sidecar.client, f"kept-{run}")
            assert await sidecar.client.output("kept-1") == "COMPLETED"
            await end(sidecar.client, "short", "TERMINATED")
            await gone(sidecar.client, "short")
            assert await sidecar.client.ids() == ["kept-1", "kept-2"][: int(run)]
            assert len(await sidecar.client.history("kept-1")) == 6


@pytest.mark.parity("retention/manually")
async def test_purge_by_hand_leaves_nothing_to_the_policy(hub: Hub) -> None:
    async with hub.sidecar(**keeping(any_terminal=LATER)) as sidecar, sidecar.worker(flow):
        await end(sidecar.client, "a", "TERMINATED")
        assert await sidecar.client.purge("a") == 1
        await end(sidecar.client, "later", "TERMINATED")
        await gone(sidecar.client, "later")
        assert await sidecar.client.ids() == []
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("retention/notexists")
async def test_policy_goes_on_after_others_were_faster(hub: Hub) -> None:
    policy = keeping(any_terminal=SOON)
    names = [str(number) for number in range(20)]
    async with hub.sidecar(**policy) as sidecar, sidecar.worker(flow):
        for name in names:
            await end(sidecar.client, name, "TERMINATED")
        # At about the time of the policy.
        await asyncio.sleep(SOON.total_seconds() * 0.8)
        for name in names[::2]:
            with suppress(Refused):
                await sidecar.client.purge(name)
        await gone(sidecar.client, *names)
        await end(sidecar.client, "later", "TERMINATED")
        await gone(sidecar.client, "later")


@pytest.mark.parity("retention/idempotent")
async def test_instance_that_ended_long_ago_is_removed_once(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await end(sidecar.client, "a", "TERMINATED")
        await end(sidecar.client, "b", "TERMINATED")
    async with hub.sidecar() as sidecar:
        assert await sidecar.client.ids() == ["a", "b"]
    for _ in range(2):
        async with hub.sidecar(**keeping(any_terminal=SOON)) as sidecar:
            await gone(sidecar.client, "a", "b")
            assert await sidecar.client.ids() == []
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("retention/retentionstuck", "reuseid/retention", "sharp/43", "field/12")
async def test_new_run_is_kept_for_its_own_time(hub: Hub) -> None:
    async with hub.sidecar(**keeping(any_terminal=LATER)) as sidecar, sidecar.worker(flow):
        await end(sidecar.client, "a", "TERMINATED")
        await sidecar.client.start("Flow", "a", "TERMINATED")
        await end(sidecar.client, "later", "TERMINATED")
        await gone(sidecar.client, "later")
        assert await sidecar.client.status("a") == "RUNNING"
        await sidecar.client.terminate("a", "over")
        ended = await sidecar.client.state("a")
        assert ended.output.value == "over"
        await gone(sidecar.client, "a")
        assert datetime.now(UTC) - ended.completedTimestamp.ToDatetime(UTC) >= LATER


@pytest.mark.parametrize(
    ("misfit", "reused"),
    [
        pytest.param(
            PATCH, True, id="reused", marks=pytest.mark.parity("retention/retentionstuckstalled")
        ),
        pytest.param(
            VERSION, False, id="new", marks=pytest.mark.parity("versioning/stalled-retention")
        ),
    ],
)
async def test_stalled_instance_is_left_alone(hub: Hub, misfit: Misfit, *, reused: bool) -> None:
    async with hub.sidecar(**keeping(any_terminal=SOON)) as sidecar:
        if reused:
            async with sidecar.worker(flow):
                await end(sidecar.client, "a", "TERMINATED")
        await stall(sidecar, misfit)
        async with sidecar.worker({"Flow": misfit.bad, "Other": flow}):
            await sidecar.client.start("Other", "later", "TERMINATED")
            await sidecar.client.terminate("later")
        await gone(sidecar.client, "later")
        assert await sidecar.client.status("a") == "STALLED"
        async with sidecar.worker(misfit.good):
            assert await sidecar.client.output("a") == "x"
            await gone(sidecar.client, "a")


@pytest.mark.parity("retention/match")
@pytest.mark.parametrize(
    ("periods", "kept"),
    [
        ({"any_terminal": SOON, "completed": NEVER}, {"COMPLETED"}),
        ({"any_terminal": SOON, "failed": NEVER, "terminated": NEVER}, {"FAILED", "TERMINATED"}),
        ({"any_terminal": NEVER, "failed": SOON}, {"COMPLETED", "TERMINATED"}),
        ({"any_terminal": NEVER, "terminated": timedelta(0)}, {"COMPLETED", "FAILED"}),
    ],
    ids=["keeps completed", "keeps others", "removes failed", "removes terminated at once"],
)
async def test_policy_for_the_status_wins(
    hub: Hub, periods: dict[str, timedelta], kept: set[str]
) -> None:
    statuses = {"COMPLETED", "FAILED", "TERMINATED"}
    async with hub.sidecar(**keeping(**periods)) as sidecar, sidecar.worker(flow):
        for status in sorted(statuses):
            await end(sidecar.client, status, status)
            await gone_or_ended(sidecar.client, status)
        await gone(sidecar.client, *(statuses - kept))
        assert await sidecar.client.ids() == sorted(kept)


async def gone_or_ended(client: Client, instance_id: str) -> None:
    with suppress(Refused):
        await client.finished(instance_id)


@pytest.mark.parity("retention/optionalkeys-customstatus")
@pytest.mark.parametrize("custom_status", [None, "", "almost"])
async def test_custom_status_does_not_matter(hub: Hub, custom_status: str | None) -> None:
    def with_status(ctx: Context):
        ctx.custom_status = custom_status
        yield ctx.activity("work", "x")

    async with hub.sidecar(**keeping(any_terminal=LATER)) as sidecar, sidecar.worker(with_status):
        await sidecar.client.start("Flow", "a")
        state = await sidecar.client.finished("a")
        assert (state.customStatus.value or None) == (custom_status or None)
        await gone(sidecar.client, "a")
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.parity("retention/optionalkeys-propagatedhistory")
async def test_given_history_is_removed_too(hub: Hub) -> None:
    def parent(ctx: Context):
        scope = pb.HISTORY_PROPAGATION_SCOPE_LINEAGE
        return (yield ctx.child("Child", instance_id="kid", historyPropagationScope=scope))

    def child(ctx: Context):
        return str(len(ctx.request.propagatedHistory.chunks))

    flows = {"Flow": parent, "Child": child}
    async with hub.sidecar(**keeping(any_terminal=LATER)) as sidecar, sidecar.worker(flows):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "1"
        await gone(sidecar.client, "a", "kid")
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.needs("multi_process")
@pytest.mark.parametrize("brief", ["shop", "other"])
@pytest.mark.parity("crossapp/child-retention")
async def test_each_application_keeps_its_own_for_its_own_time(hub: Hub, brief: str) -> None:
    def parent(ctx: Context):
        return (yield ctx.child("Child", "done", instance_id="kid", app="other"))

    def policy(app: str) -> dict[str, object]:
        return keeping(any_terminal=SOON if app == brief else NEVER)

    async with (
        hub.sidecar("shop", **policy("shop")) as shop,
        hub.sidecar("other", **policy("other")) as other,
        shop.worker(parent),
        other.worker({"Child": lambda ctx: ctx.input}),
    ):
        await shop.client.start("Flow", "a")
        short, long = (
            (shop.client, other.client) if brief == "shop" else (other.client, shop.client)
        )
        await gone(short, *(["a"] if brief == "shop" else ["kid"]))
        kept = "kid" if brief == "shop" else "a"
        assert await long.output(kept) == "done"
