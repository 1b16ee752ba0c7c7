"""`mix_app.py PORT`: workflows whose results are known beforehand, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import dapr.ext.workflow as wf

Steps = Generator[Any, Any, Any]
Context = wf.DaprWorkflowContext

runtime = wf.WorkflowRuntime(host="127.0.0.1", port=sys.argv[1])

STEP_S = 0.06
SHORT = timedelta(milliseconds=50)
RETRY = wf.RetryPolicy(first_retry_interval=SHORT, max_number_of_attempts=3)


@runtime.activity(name="square")
async def square(_: wf.WorkflowActivityContext, number: int) -> int:
    await asyncio.sleep(STEP_S)
    return number * number


@runtime.activity(name="unreliable")
async def unreliable(activity: wf.WorkflowActivityContext, number: int) -> int:
    """Fail for some task ids; a retry has another one."""
    if activity.task_id % 4 == 1:
        raise ValueError("bad luck")
    return number * number


@runtime.workflow(name="chain")
def chain(ctx: Context, length: int) -> Steps:
    results = []
    for number in range(length):
        result = yield ctx.call_activity(square, input=number)
        results.append(result)
    return results


@runtime.workflow(name="fan")
def fan(ctx: Context, rounds: int) -> Steps:
    results = []
    for _ in range(rounds):
        tasks = [ctx.call_activity(square, input=number) for number in range(4)]
        results.append(sum((yield wf.when_all(tasks))))
    return results


@runtime.workflow(name="naps")
def naps(ctx: Context, count: int) -> Steps:
    results = []
    for number in range(count):
        yield ctx.create_timer(SHORT)
        results.append((yield ctx.call_activity(square, input=number)))
    return results


@runtime.workflow(name="generations")
def generations(ctx: Context, state: dict[str, Any]) -> Steps:
    state["results"].append((yield ctx.call_activity(square, input=state["left"])))
    state["left"] -= 1
    if state["left"] == 0:
        return state["results"]
    ctx.continue_as_new(state)


@runtime.workflow(name="family")
def family(ctx: Context, count: int) -> Steps:
    children = [ctx.call_child_workflow(chain, input=length) for length in range(1, count + 1)]
    return (yield wf.when_all(children))


@runtime.workflow(name="retries")
def retries(ctx: Context, count: int) -> Steps:
    results = []
    for number in range(count):
        result = yield ctx.call_activity(unreliable, input=number, retry_policy=RETRY)
        results.append(result)
    return results


@runtime.workflow(name="listener")
def listener(ctx: Context, _: Any) -> Steps:
    """Return the data of all events up to the one that says stop."""
    heard = []
    while (data := (yield ctx.wait_for_external_event("go"))) != "stop":
        heard.append(data)
    return heard


if __name__ == "__main__":
    runtime.start()
    print("ready for work", flush=True)
    signal.pause()
