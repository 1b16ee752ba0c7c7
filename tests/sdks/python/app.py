"""`app.py FAMILY PORT`: worker and client with Dapr's Python SDK, any version from 1.15 to 1.19.

What all apps of these tests have in common is described in ../README.md.
"""

from __future__ import annotations

import collections
import json
import os
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from dapr.ext import workflow as wf

FAMILY, PORT = sys.argv[1:]
CALLS_AT_ONCE = 32

Steps = Generator[Any, Any, Any]
Context = wf.DaprWorkflowContext
Activity = wf.WorkflowActivityContext

runtime = wf.WorkflowRuntime(host="127.0.0.1", port=PORT)
client = wf.DaprWorkflowClient(host="127.0.0.1", port=PORT)
attempts: collections.Counter[str] = collections.Counter()
turns: collections.Counter[str] = collections.Counter()


@runtime.activity(name="add_one")
def add_one(_: Activity, number: int) -> int:
    return number + 1


@runtime.activity(name="who")
def who(_: Activity, seconds: float) -> str:
    time.sleep(seconds)  # noqa: TID251 - the activity's work
    return FAMILY


@runtime.activity(name="gate")
def gate(_: Activity, path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.05)  # noqa: TID251 - the activity's work


@runtime.activity(name="flaky")
def flaky(_: Activity, call: dict[str, Any]) -> int:
    attempts[call["of"]] += 1
    if attempts[call["of"]] <= call["failures"]:
        raise ValueError(f"attempt {attempts[call['of']]} fails")
    return attempts[call["of"]]


STEPS = (who,) * 4


@runtime.workflow(name="sequence")
def sequence(ctx: Context, number: int) -> Steps:
    for _ in range(3):
        number = yield ctx.call_activity(add_one, input=number)
    return number


@runtime.workflow(name="fan_out")
def fan_out(ctx: Context, count: int) -> Steps:
    calls = [ctx.call_activity(add_one, input=n + 1) for n in range(count)]
    return sum((yield wf.when_all(calls)))


@runtime.workflow(name="together")
def together(ctx: Context, count: int) -> Steps:
    """Return which families ran so many activities that were scheduled at once."""
    calls = [ctx.call_activity(who, input=0.2) for _ in range(count)]
    return sorted(set((yield wf.when_all(calls))))


@runtime.workflow(name="relay")
def relay(ctx: Context, path: str) -> Steps:
    """Run activities one after the other, the fifth of which ends when there is a file."""
    turns[ctx.instance_id] += 1
    for activity in (*STEPS, gate, *STEPS):
        yield ctx.call_activity(activity, input=path if activity is gate else 0.05)
    return "arrived"


@runtime.workflow(name="slow")
def slow(ctx: Context, seconds: float) -> Steps:
    yield ctx.call_activity(who, input=seconds)
    return "done"


@runtime.workflow(name="timer")
def timer(ctx: Context, seconds: float) -> Steps:
    yield ctx.create_timer(timedelta(seconds=seconds))
    return "fired"


@runtime.workflow(name="listener")
def listener(ctx: Context, count: int) -> Steps:
    heard = []
    for _ in range(count):
        heard.append((yield ctx.wait_for_external_event("go")))  # noqa: PERF401 - a yield
    return heard


@runtime.workflow(name="impatient")
def impatient(ctx: Context, seconds: float) -> Steps:
    event = ctx.wait_for_external_event("go")
    first = yield wf.when_any([event, ctx.create_timer(timedelta(seconds=seconds))])
    return event.get_result() if first is event else "too late"


@runtime.workflow(name="parent")
def parent(ctx: Context, number: int) -> Steps:
    first = yield ctx.call_child_workflow(sequence, input=number)
    children = [
        ctx.call_child_workflow(sequence, input=first),
        ctx.call_child_workflow(sequence, input=first, instance_id=f"{ctx.instance_id}-child"),
    ]
    return [first, *(yield wf.when_all(children))]


@runtime.workflow(name="generations")
def generations(ctx: Context, number: int) -> Steps:
    number = yield ctx.call_activity(add_one, input=number)
    if number < 5:
        ctx.continue_as_new(number)
        return None
    return number


@runtime.workflow(name="collector")
def collector(ctx: Context, heard: list[Any]) -> Steps:
    """Take one of three events in each generation; the others have to be carried over."""
    heard = [*heard, (yield ctx.wait_for_external_event("go"))]
    if len(heard) < 3:
        ctx.continue_as_new(heard, save_events=True)
        return None
    return heard


@runtime.workflow(name="statuses")
def statuses(ctx: Context, _: Any) -> Steps:
    ctx.set_custom_status("before ü")
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status("after ü")
    yield ctx.wait_for_external_event("go")
    return "told"


@runtime.workflow(name="retrying")
def retrying(ctx: Context, failures: int) -> Steps:
    policy = wf.RetryPolicy(
        first_retry_interval=timedelta(milliseconds=100),
        max_number_of_attempts=3,
        max_retry_interval=timedelta(seconds=1),  # 1.15 does not try again without it
    )
    call = {"of": ctx.instance_id, "failures": failures}
    return (yield ctx.call_activity(flaky, input=call, retry_policy=policy))


@runtime.workflow(name="failing")
def failing(ctx: Context, failures: int) -> Steps:
    call = {"of": ctx.instance_id, "failures": failures}
    return (yield ctx.call_activity(flaky, input=call))


WORKFLOWS = (
    *(sequence, fan_out, together, relay, slow, timer, listener, impatient),
    *(parent, generations, collector, statuses, retrying, failing),
)
BY_NAME = {function.__dict__["_dapr_alternate_name"]: function for function in WORKFLOWS}


def describe(state: Any) -> dict[str, Any] | None:
    return state and {
        "status": state.runtime_status.name,
        "output": state.serialized_output,
        "custom_status": state.serialized_custom_status,
        "failure": state.failure_details and state.failure_details.message,
    }


CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "start": lambda call: client.schedule_new_workflow(
        BY_NAME[call["workflow"]], input=call["input"], instance_id=call["instance_id"]
    ),
    "get": lambda call: describe(client.get_workflow_state(call["instance_id"])),
    "wait": lambda call: describe(
        client.wait_for_workflow_completion(
            call["instance_id"], timeout_in_seconds=call["timeout_s"]
        )
    ),
    "tell": lambda call: client.raise_workflow_event(
        call["instance_id"], call["event"], data=call["data"]
    ),
    "suspend": lambda call: client.pause_workflow(call["instance_id"]),
    "resume": lambda call: client.resume_workflow(call["instance_id"]),
    "terminate": lambda call: client.terminate_workflow(call["instance_id"], output=call["output"]),
    "purge": lambda call: client.purge_workflow(call["instance_id"]),
    "turns": lambda _: dict(turns),
}


def answer(call: dict[str, Any]) -> None:
    """Carry out one call and print its outcome."""
    try:
        outcome = {"value": CALLS[call["op"]](call)}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the answer
        description = {"kind": type(error).__name__, "code": None, "text": str(error)}
        if isinstance(error, grpc.Call):
            description.update(code=error.code().name, text=error.details())
        outcome = {"error": description}
    # One write each: several threads answer.
    sys.stdout.write(json.dumps({"id": call["id"], **outcome}) + "\n")
    sys.stdout.flush()


def main() -> None:
    runtime.start()
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        for line in sys.stdin:
            pool.submit(answer, json.loads(line))
    os._exit(0)  # threads of some versions never end


if __name__ == "__main__":
    main()
