"""`worker_app.py PORT`: the application of the tests, with the unmodified `dapr` SDK."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dapr.ext.workflow as wf

Steps = Generator[Any, Any, Any]
Context = wf.DaprWorkflowContext
Activity = wf.WorkflowActivityContext

runtime = wf.WorkflowRuntime(host="127.0.0.1", port=sys.argv[1])
attempts: collections.Counter[str] = collections.Counter()

RETRY = wf.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=50),
    max_number_of_attempts=4,
    backoff_coefficient=1.5,
)


@runtime.activity(name="add_one")
def add_one(_: Activity, number: int) -> int:
    return number + 1


@runtime.activity(name="process_id")
async def process_id(_: Activity, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()


@runtime.activity(name="fail_before")
def fail_before(activity: Activity, good_attempt: int) -> int:
    """Fail until the attempt of this number."""
    attempts[activity.workflow_id] += 1
    if attempts[activity.workflow_id] < good_attempt:
        raise ValueError(f"attempt {attempts[activity.workflow_id]} fails")
    return attempts[activity.workflow_id]


@runtime.activity(name="gate")
async def gate(_: Activity, directory: str) -> int:
    """Leave a file named by the process in a directory, and wait for a file `open` there."""
    (Path(directory) / str(os.getpid())).touch()
    while not (Path(directory) / "open").exists():  # noqa: ASYNC110 - the test is another process
        await asyncio.sleep(0.02)
    return os.getpid()


@runtime.workflow(name="nothing")
def nothing(_: Context, value: Any) -> Any:
    return value


@runtime.workflow(name="length")
def length(_: Context, text: str) -> int:
    return len(text)


@runtime.workflow(name="turn_process_id")
def turn_process_id(_: Context, __: Any) -> int:
    return os.getpid()


@runtime.workflow(name="sequence")
def sequence(ctx: Context, number: int) -> Steps:
    for _ in range(3):
        number = yield ctx.call_activity(add_one, input=number)
    return number


@runtime.workflow(name="parallel")
def parallel(ctx: Context, count: int) -> Steps:
    return (yield wf.when_all([ctx.call_activity(add_one, input=n) for n in range(count)]))


@runtime.workflow(name="process_ids")
def process_ids(ctx: Context, count: int) -> Steps:
    return (yield wf.when_all([ctx.call_activity(process_id, input=0.1) for _ in range(count)]))


@runtime.workflow(name="gated")
def gated(ctx: Context, directory: str) -> Steps:
    return (yield ctx.call_activity(gate, input=directory))


@runtime.workflow(name="timer")
def timer(ctx: Context, seconds: float) -> Steps:
    """Return how long a timer took, by the workflow's own clock."""
    before = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(seconds=seconds))
    return (ctx.current_utc_datetime - before).total_seconds()


@runtime.workflow(name="listener")
def listener(ctx: Context, count: int) -> Steps:
    """Return the data of so many events `go`, in their order."""
    heard = []
    for _ in range(count):
        data = yield ctx.wait_for_external_event("go")
        heard.append(data)
    return heard


@runtime.workflow(name="impatient")
def impatient(ctx: Context, seconds: float) -> Steps:
    event = ctx.wait_for_external_event("go")
    first = yield wf.when_any([event, ctx.create_timer(timedelta(seconds=seconds))])
    return event.get_result() if first is event else "too late"


@runtime.workflow(name="statuses")
def statuses(ctx: Context, _: Any) -> Steps:
    ctx.set_custom_status("before")
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status("after")


@runtime.workflow(name="parent")
def parent(ctx: Context, number: int) -> Steps:
    child_id = f"{ctx.instance_id}-child"
    return (yield ctx.call_child_workflow(sequence, input=number, instance_id=child_id))


@runtime.workflow(name="family")
def family(ctx: Context, depth: int) -> Steps:
    """Wait for ever, with two children that do the same, down to a depth."""
    if depth == 0:
        return (yield ctx.wait_for_external_event("never"))
    children = [
        ctx.call_child_workflow(family, input=depth - 1, instance_id=f"{ctx.instance_id}.{n}")
        for n in range(2)
    ]
    return (yield wf.when_all(children))


@runtime.workflow(name="generations")
def generations(ctx: Context, number: int) -> Steps:
    number = yield ctx.call_activity(add_one, input=number)
    if number < 5:
        ctx.continue_as_new(number)
        return None
    return number


@runtime.workflow(name="generation_per_event")
def generation_per_event(ctx: Context, heard: list[Any]) -> Steps:
    """Take one of three events in each generation; the others have to be carried over."""
    heard.append((yield ctx.wait_for_external_event("go")))
    if len(heard) < 3:
        ctx.continue_as_new(heard, save_events=True)
        return None
    return heard


@runtime.workflow(name="endless")
def endless(ctx: Context, number: int | None) -> Steps:
    """Continue as new for ever."""
    number = yield ctx.call_activity(add_one, input=number or 0)
    ctx.continue_as_new(number)


@runtime.workflow(name="retrying")
def retrying(ctx: Context, good_attempt: int) -> Steps:
    return (yield ctx.call_activity(fail_before, input=good_attempt, retry_policy=RETRY))


@runtime.workflow(name="failing")
def failing(ctx: Context, _: Any) -> Steps:
    yield ctx.call_activity(fail_before, input=1_000)


@runtime.workflow(name="catching")
def catching(ctx: Context, workflow: str) -> Steps:
    """Return the message of a child's failure."""
    try:
        yield ctx.call_child_workflow(workflow)
    except wf.TaskFailedError as error:
        return str(error)


@runtime.workflow(name="passing_on")
def passing_on(ctx: Context, workflow: str) -> Steps:
    yield ctx.call_child_workflow(workflow)


@runtime.workflow(name="calling_nobody")
def calling_nobody(ctx: Context, _: Any) -> Steps:
    yield ctx.call_activity("nobody")


if __name__ == "__main__":
    runtime.start()
    print("ready for work", flush=True)
    signal.pause()
