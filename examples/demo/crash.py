"""Second part: the sidecar is killed in the middle of a long workflow."""

from __future__ import annotations

import subprocess

from examples.demo.client import Outcome, connected, wait_for_outcome
from examples.demo.evidence import Finding, count_executions, read_history
from examples.demo.processes import APP_ID, DemoError, Workshop, wait_until
from examples.demo.screen import counting_steps, explain, say, show_findings

STEPS = 40
KILLED_AT = 17

EXPLANATION = f"""
Now a workflow of {STEPS} activities in sequence. In the middle of it the sidecar gets SIGKILL: it can
neither save nor say goodbye. The application stays, and its SDK reconnects by itself as soon as a sidecar
is there again. The new sidecar has nothing but the file.
"""

INSTANCE_ID = "long-1"


def survive_a_crash(workshop: Workshop) -> None:
    """Kill the sidecar while a workflow runs, start it again, and check that nothing was lost or doubled.

    Raises:
        DemoError: Something was.
    """
    explain("2  kill -9", EXPLANATION)
    sidecar = workshop.serve()
    app = workshop.start_app()
    workshop.wait_until_ready(sidecar)
    with connected(workshop) as client:
        client.schedule_new_workflow("long", input=STEPS, instance_id=INSTANCE_ID)
    with counting_steps(STEPS) as counter:

        def steps() -> int:
            done = len(count_executions(workshop.ledger, INSTANCE_ID))
            counter.show(done)
            return done

        wait_until(lambda: steps() >= KILLED_AT, "the middle of the workflow")
        sidecar.kill()
        sidecar.wait()
        say(f"killed the sidecar (process {sidecar.pid}) during step {steps() + 1}")
        sidecar = workshop.serve()
        say(f"started another one (process {sidecar.pid}) on the same port and the same file")
        wait_until(lambda: steps() == STEPS, "the last step", timeout_s=40)
    with connected(workshop) as client:
        outcome = wait_for_outcome(client, INSTANCE_ID)
    say(f"the workflow has ended: {outcome.status}")
    _check(workshop, app, outcome)


def _check(workshop: Workshop, app: subprocess.Popen[bytes], outcome: Outcome) -> None:
    explain(
        "3  What the file says",
        """Read with sqlite3, without Durahub, from .durahub/state.db: its keys are those of Dapr. Activities
        may be executed more than once, as in every workflow engine; what counts is that no result is applied
        twice.""",
    )
    executions = count_executions(workshop.ledger, INSTANCE_ID)
    findings = [
        Finding(
            "the workflow completed, with the right result",
            outcome == Outcome("COMPLETED", list(range(1, STEPS + 1))),
            f"{outcome.status}, {_summary(outcome.result)}",
        ),
        Finding("the application ran all the time", app.poll() is None, f"process {app.pid}"),
        *read_history(workshop.database, APP_ID, INSTANCE_ID).check(STEPS),
        Finding(
            "each step was executed at least once",
            sorted(executions) == list(range(1, STEPS + 1)),
            f"{executions.total()} executions for {STEPS} steps",
        ),
    ]
    show_findings(findings)
    wrong = [finding for finding in findings if not finding.is_true]
    if wrong:
        raise DemoError("; ".join(f"not true: {f.claim} ({f.fact})" for f in wrong))


def _summary(result: object) -> str:
    if isinstance(result, list) and len(result) > 1:
        return f"{len(result)} results, from {result[0]} to {result[-1]}"
    return repr(result)
