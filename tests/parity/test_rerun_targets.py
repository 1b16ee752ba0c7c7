"""Reruns from activities and children: their inputs and their ids."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub
from tests.parity.reruns import ended, ran, reran_from

Fields = dict[str, Any]


def both(ctx: Context):
    """Call an activity and then a child, with what the input says of theirs."""
    given = None if ctx.input == "nothing" else "old"
    first = yield ctx.activity("work", given)
    second = yield ctx.child("Child", given)
    return f"{first} {second}"


def child(ctx: Context):
    return (yield ctx.activity("work", "none" if ctx.input is None else f"<{ctx.input}>"))


FLOWS = {"Flow": both, "Child": child}
ACTIVITY, CHILD = 0, 1


def shows(*lines: str) -> pytest.MarkDecorator:
    return pytest.mark.parity(*(f"rerun/{line}" for line in lines))


@pytest.mark.parametrize(
    ("target", "before", "fields", "output"),
    [
        pytest.param(ACTIVITY, "old", {}, "old <old>", id="kept", marks=shows("sameinput")),
        pytest.param(CHILD, "old", {}, "old <old>", id="kept by child", marks=shows("sameinput")),
        pytest.param(
            CHILD,
            "old",
            {"input": "new", "overwriteInput": True},
            "old <new>",
            id="new for child",
            marks=shows("newinput", "input-overwrite"),
        ),
        pytest.param(
            ACTIVITY,
            "old",
            {"input": "new", "overwriteInput": True},
            "new <old>",
            id="new for activity",
            marks=shows("newinputactivity", "input-overwrite"),
        ),
        pytest.param(
            CHILD,
            "old",
            {"input": "", "overwriteInput": True},
            "old <>",
            id="empty",
            marks=shows("input-overwrite"),
        ),
        pytest.param(
            ACTIVITY,
            "old",
            {"overwriteInput": True},
            "None <old>",
            id="none for activity",
            marks=shows("nullinput"),
        ),
        pytest.param(
            CHILD,
            "old",
            {"overwriteInput": True},
            "old none",
            id="none for child",
            marks=shows("nullinput"),
        ),
        pytest.param(
            ACTIVITY,
            "old",
            {"input": "new"},
            "old <old>",
            id="ignored",
            marks=shows("input-existing"),
        ),
        pytest.param(
            CHILD,
            "old",
            {"input": "new"},
            "old <old>",
            id="ignored for child",
            marks=shows("input-existing"),
        ),
        pytest.param(
            ACTIVITY,
            "nothing",
            {"input": "new", "overwriteInput": True},
            "new none",
            id="first for activity",
            marks=shows("input-newinput"),
        ),
        pytest.param(
            CHILD,
            "nothing",
            {"input": "new", "overwriteInput": True},
            "None <new>",
            id="first for child",
            marks=shows("input-newinput"),
        ),
    ],
)
async def test_target_gets_the_input(
    hub: Hub, target: int, before: str, fields: Fields, output: str
) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar, value=before)
        await sidecar.client.rerun("old", target, "new", **fields)
        assert await sidecar.client.output("new") == output
        # The workflow itself has the input that it always had.
        assert (await sidecar.client.state("new")).input.value == before


@pytest.mark.parametrize(
    ("fields", "child_id", "output"),
    [
        pytest.param({}, "new:0001", "old <old>", id="derived", marks=shows("child-base")),
        pytest.param(
            {"newChildWorkflowInstanceID": "mine"},
            "mine",
            "old <old>",
            id="given",
            marks=shows("newinstanceid-child"),
        ),
        pytest.param(
            {"newChildWorkflowInstanceID": "mine", "input": "new", "overwriteInput": True},
            "mine",
            "old <new>",
            id="given with input",
            marks=shows("newinstanceid-overwrite"),
        ),
    ],
)
async def test_another_child_is_run(hub: Hub, fields: Fields, child_id: str, output: str) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await ended(sidecar, value="old")
        await sidecar.client.rerun("old", CHILD, "new", **fields)
        assert await sidecar.client.output("new") == output
        assert await sidecar.client.ids() == ["old", "old:0001", "new", child_id]
        state = await sidecar.client.state(child_id)
        assert state.parentInstanceId.value == "new"
        assert state.output.value == output.split()[1]


@pytest.mark.parametrize(
    ("fields", "child_id"), [({}, "new:0000"), ({"newChildWorkflowInstanceID": "mine"}, "mine")]
)
@shows("newinstanceid-custom")
async def test_id_that_the_code_chose_is_not_used_again(
    hub: Hub, fields: Fields, child_id: str
) -> None:
    def flow(ctx: Context):
        return (yield ctx.child("Child", instance_id="chosen"))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": child}):
        await ended(sidecar)
        await sidecar.client.rerun("old", 0, "new", **fields)
        assert await sidecar.client.output("new") == "none"
        assert await sidecar.client.ids() == ["old", "chosen", "new", child_id]


@shows("child-async")
async def test_parallel_children_are_all_run_again(hub: Hub) -> None:
    def flow(ctx: Context):
        kids = [ctx.child("Child", str(number), instance_id=f"kid-{number}") for number in range(3)]
        return ",".join((yield all_of(*kids)))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": child}):
        await ended(sidecar)
        await sidecar.client.rerun("old", 2, "hello")
        assert await sidecar.client.output("hello") == "<0>,<1>,<2>"
        for number in range(3):
            state = await sidecar.client.state(f"hello:000{number}")
            assert (state.input.value, state.parentInstanceId.value) == (str(number), "hello")


@shows("child-history")
async def test_histories_of_source_and_rerun_are_each_complete(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        client = sidecar.client
        await ended(sidecar, value="old")
        before = [await client.history(name) for name in ("old", "old:0001")]
        await client.rerun("old", CHILD, "new")
        await client.output("new")
        assert [await client.history(name) for name in ("old", "old:0001")] == before
        assert await client.kinds("new:0001") == await client.kinds("old:0001")
        history = await client.history("new")
        assert reran_from(history) == {CHILD: "old"}
        (created,) = [e for e in history if e.HasField("childWorkflowInstanceCreated")]
        assert created.childWorkflowInstanceCreated.instanceId == "new:0001"
        # The start event is that of the source.
        assert history[1] == before[0][1]
        assert await client.kinds("new") == [
            "workflowStarted",
            "executionStarted",
            "workflowStarted",
            "taskScheduled",
            "taskCompleted",
            "childWorkflowInstanceCreated",
            "workflowStarted",
            "childWorkflowInstanceCompleted",
            "executionCompleted",
        ]


@shows("child-rootonly")
async def test_child_before_the_target_is_not_run_again(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.child("Child", "x")
        return first + (yield ctx.activity("work", "last"))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": child}) as worker:
        await ended(sidecar)
        await sidecar.client.rerun("old", 1, "new")
        assert await sidecar.client.output("new") == "<x>last"
        assert ran(worker, "new") == ["last"]
        assert await sidecar.client.ids() == ["old", "old:0000", "new"]
