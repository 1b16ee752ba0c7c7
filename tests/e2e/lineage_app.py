"""`lineage_app.py PORT`: workflows that hand on their history, and what others see of it through the SDK."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import dapr.ext.workflow as wf

Steps = Generator[Any, Any, Any]
Context = wf.DaprWorkflowContext
Activity = wf.WorkflowActivityContext
Seen = dict[str, Any] | None

OWN, LINEAGE = wf.PropagationScope.OWN_HISTORY, wf.PropagationScope.LINEAGE
RETRY = wf.RetryPolicy(first_retry_interval=timedelta(milliseconds=20), max_number_of_attempts=3)

runtime = wf.WorkflowRuntime(host="127.0.0.1", port=sys.argv[1])


def seen(history: wf.PropagatedHistory | None) -> Seen:
    """Return what there is to see in a history that was given, as JSON."""
    if history is None:
        return None
    return {
        "scope": history.scope.name,
        "apps": history.get_app_ids(),
        "workflows": [[part.name, part.instance_id] for part in history.get_workflows()],
        "events": [event.WhichOneof("eventType") for event in history.events],
        "steps": [
            [step.input, step.output, step.failed]
            for part in history.get_workflows()
            for step in part.get_activities_by_name("step")
        ],
    }


@runtime.activity(name="step")
def step(_: Activity, number: int) -> int:
    return number + 1


@runtime.activity(name="look")
def look(activity: Activity, _: Any) -> Seen:
    return seen(activity.get_propagated_history())


@runtime.activity(name="look_at_last")
def look_at_last(activity: Activity, _: Any) -> int:
    """Fail until the history shows two failures, and return how many it shows."""
    history = activity.get_propagated_history()
    assert history is not None
    failures = sum(event.HasField("taskFailed") for event in history.events)
    if failures < 2:
        raise ValueError("not yet")
    return failures


@runtime.workflow(name="asking")
def asking(ctx: Context, scope: str | None) -> Steps:
    """Return what an activity sees under a scope."""
    yield ctx.call_activity(step, input=1)
    propagation = wf.PropagationScope[scope] if scope else None
    return (yield ctx.call_activity(look, propagation=propagation))


@runtime.workflow(name="retrying")
def retrying(ctx: Context, _: Any) -> Steps:
    return (yield ctx.call_activity(look_at_last, retry_policy=RETRY, propagation=OWN))


@runtime.workflow(name="first")
def first(ctx: Context, scope: str) -> Steps:
    """Return what the second workflow, the third, and the third's activity see."""
    yield ctx.call_activity(step, input=10)
    return (
        yield ctx.call_child_workflow(
            second, input=scope, instance_id=f"{ctx.instance_id}.2", propagation=LINEAGE
        )
    )


@runtime.workflow(name="second")
def second(ctx: Context, scope: str) -> Steps:
    mine = seen(ctx.get_propagated_history())
    yield ctx.call_activity(step, input=20)
    below = yield ctx.call_child_workflow(
        third, instance_id=f"{ctx.instance_id}.3", propagation=wf.PropagationScope[scope]
    )
    return [mine, *below]


@runtime.workflow(name="third")
def third(ctx: Context, _: Any) -> Steps:
    yield ctx.call_activity(step, input=30)
    at_activity = yield ctx.call_activity(look, propagation=LINEAGE)
    return [seen(ctx.get_propagated_history()), at_activity]


@runtime.workflow(name="patient")
def patient(ctx: Context, _: Any) -> Steps:
    yield ctx.call_activity(step, input=1)
    return (
        yield ctx.call_child_workflow(
            waiting, instance_id=f"{ctx.instance_id}.waiting", propagation=OWN
        )
    )


@runtime.workflow(name="waiting")
def waiting(ctx: Context, _: Any) -> Steps:
    """Return what was to be seen before an event and after it."""
    before = seen(ctx.get_propagated_history())
    ctx.set_custom_status("waits")
    yield ctx.wait_for_external_event("go")
    return [before, seen(ctx.get_propagated_history())]


@runtime.workflow(name="looping")
def looping(ctx: Context, _: Any) -> Steps:
    return (yield ctx.call_child_workflow(generation, input=1, propagation=LINEAGE))


@runtime.workflow(name="generation")
def generation(ctx: Context, number: int) -> Steps:
    yield ctx.call_activity(step, input=number)
    if number < 3:
        ctx.continue_as_new(number + 1)
        return None
    return seen(ctx.get_propagated_history())


if __name__ == "__main__":
    runtime.start()
    print("ready for work", flush=True)
    signal.pause()
