"""An application with the unmodified `dapr` SDK: one workflow of each kind, and a long one.

    durahub run -- python examples/app.py

It finds its sidecar as every Dapr application does, by the variable DAPR_GRPC_PORT, and runs until it is
told to stop.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dapr.ext.workflow as wf

Steps = Generator[Any, Any, Any]
"""A workflow yields what it waits for, and returns its result."""

Context = wf.DaprWorkflowContext
Activity = wf.WorkflowActivityContext

STEP_S = 0.08

runtime = wf.WorkflowRuntime()
ledger = Path("ledger.txt")


# Sequence: each activity takes the result of the one before.


@runtime.workflow(name="order")
def order(ctx: Context, item: str) -> Steps:
    reservation = yield ctx.call_activity(reserve, input=item)
    payment = yield ctx.call_activity(charge, input=reservation)
    return (yield ctx.call_activity(ship, input=payment))


@runtime.activity(name="reserve")
def reserve(_: Activity, item: str) -> str:
    return f"{item} reserved"


@runtime.activity(name="charge")
def charge(_: Activity, reservation: str) -> str:
    return f"{reservation}, paid"


@runtime.activity(name="ship")
def ship(_: Activity, payment: str) -> str:
    return f"{payment}, shipped"


# Fan-out, fan-in: activities run side by side, and the workflow waits for all of them.


@runtime.workflow(name="best_offer")
def best_offer(ctx: Context, suppliers: int) -> Steps:
    offers = yield wf.when_all([ctx.call_activity(ask, input=n) for n in range(suppliers)])
    return min(offers)


@runtime.activity(name="ask")
def ask(_: Activity, supplier: int) -> int:
    return 100 + supplier * 7 % 10


# Timer: durable, so it also fires if the sidecar was away in between.


@runtime.workflow(name="reminder")
def reminder(ctx: Context, seconds: float) -> Steps:
    before = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(seconds=seconds))
    waited = (ctx.current_utc_datetime - before).total_seconds()
    return f"reminded after {waited:.1f} s"


# External event: somebody outside decides, or nobody does in time.


@runtime.workflow(name="approval")
def approval(ctx: Context, timeout_s: float) -> Steps:
    ctx.set_custom_status("waiting for a decision")
    decision = ctx.wait_for_external_event("decision")
    timeout = ctx.create_timer(timedelta(seconds=timeout_s))
    winner = yield wf.when_any([decision, timeout])
    return decision.get_result() if winner is decision else "expired"


# Child workflows: a workflow as a step of another one, with an instance and a history of its own.


@runtime.workflow(name="shopping")
def shopping(ctx: Context, items: list[str]) -> Steps:
    return (yield wf.when_all([ctx.call_child_workflow(order, input=item) for item in items]))


# Continue as new: starts over with another input and an empty history, so it may go on for ever.


@runtime.workflow(name="countdown")
def countdown(ctx: Context, state: dict[str, int]) -> Steps:
    yield ctx.create_timer(timedelta(milliseconds=50))
    state = {"left": state["left"] - 1, "generations": state["generations"] + 1}
    if state["left"] > 0:
        ctx.continue_as_new(state)
        return None
    return f"{state['generations']} generations"


# The long one: enough steps to be interrupted in the middle of them.


@runtime.workflow(name="long")
def long(ctx: Context, steps: int) -> Steps:
    done = []
    for step in range(1, steps + 1):
        ctx.set_custom_status(f"step {step} of {steps}")
        result = yield ctx.call_activity(work, input=step)
        done.append(result)
    return done


@runtime.activity(name="work")
async def work(activity: Activity, step: int) -> int:
    await asyncio.sleep(STEP_S)
    enter(activity.workflow_id, step)
    return step


def enter(instance_id: str, step: int) -> None:
    """Write a line (instance, step, attempt) to the ledger."""
    with ledger.open("a+") as file:
        file.seek(0)
        attempts = sum(line.startswith(f"{instance_id} {step} ") for line in file)
        file.write(f"{instance_id} {step} {attempts + 1}\n")


def main() -> None:
    """Run workflows and activities until SIGINT or SIGTERM."""
    global ledger  # noqa: PLW0603 - activities are functions, and this is what they share
    parser = argparse.ArgumentParser(description="Runs the workflows of this example.")
    parser.add_argument("--ledger", type=Path, default=ledger, help="where `work` writes")
    ledger = parser.parse_args().ledger
    stop_signals = {signal.SIGINT, signal.SIGTERM}
    # Before the SDK starts its threads, which take over what is blocked.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    runtime.start()
    signal.sigwait(stop_signals)
    runtime.shutdown()


if __name__ == "__main__":
    main()
