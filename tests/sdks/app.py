"""An application with some SDK in a process of its own: worker and client in one."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tests.e2e.client import ClientProcess, SdkError
from tests.e2e.processes import LogBook, pause
from tests.sdks.installation import Command

ANSWER_S = 60.0
AGAIN_S = 0.25


@dataclass(frozen=True)
class State:
    """What an SDK knows of an instance; the output is JSON as the SDK wrote it."""

    status: str
    output: str | None
    custom_status: str | None
    failure: str | None

    @property
    def result(self) -> Any:
        """The output of a workflow that completed."""
        assert self.status == "COMPLETED", self
        return json.loads(self.output) if self.output else None


class App:
    """Calls that an SDK's client carries out, beside a worker of the same SDK.

    Args:
        name: Of the family.
        command: Starts it.
        grpc_port: The sidecar's.
        logs: Where its output goes.
    """

    def __init__(self, name: str, command: Command, grpc_port: int, logs: LogBook) -> None:
        self.name = name
        self._process = ClientProcess(logs, (*command, name, str(grpc_port)), name=name)

    @property
    def output(self) -> str:
        """What it has written."""
        return self._process.log.read_text(errors="replace")

    def submit(self, op: str, **call: Any) -> Future[Any]:
        """Begin a call."""
        return self._process.submit(op=op, **call)

    def call(self, op: str, **call: Any) -> Any:
        """Make a call and return the SDK's answer.

        Raises:
            SdkError: What the SDK raised.
        """
        return self.submit(op, **call).result(ANSWER_S)

    def start(self, workflow: str, argument: Any, *, instance_id: str | None = None) -> str:
        """Schedule a workflow and return its id."""
        started: str = self.begin(workflow, argument, instance_id=instance_id).result(ANSWER_S)
        return started

    def begin(self, workflow: str, argument: Any, *, instance_id: str | None = None) -> Future[Any]:
        """Schedule a workflow and do not wait until it is."""
        return self.submit("start", workflow=workflow, input=argument, instance_id=instance_id)

    def run(self, workflow: str, argument: Any) -> Any:
        """Run a workflow to its end and return its result."""
        return self.wait(self.start(workflow, argument)).result

    def wait(self, instance_id: str, timeout_s: int = 30) -> State:
        """Return the state of an instance once it has ended."""
        return State(**self.call("wait", instance_id=instance_id, timeout_s=timeout_s))

    def find(self, instance_id: str) -> State | None:
        """Return the state of an instance, None if it does not exist."""
        answer = self.call("get", instance_id=instance_id)
        return None if answer is None else State(**answer)

    def status(self, instance_id: str) -> str:
        """Return the status of an instance that exists."""
        state = self.find(instance_id)
        assert state is not None, f"{instance_id} does not exist"
        return state.status

    def tell(self, instance_id: str, data: Any) -> None:
        """Raise the event `go`."""
        self.call("tell", instance_id=instance_id, event="go", data=data)

    def await_contact(self, timeout_s: float = 30.0) -> None:
        """Return once the client gets answers again; after a broken connection SDKs wait a while."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.call("get", instance_id="nobody")
            except SdkError:
                assert time.monotonic() < deadline, f"{self.name}: no contact in {timeout_s} s"
                pause(AGAIN_S)
            else:
                return

    def kill(self) -> None:
        """End the process."""
        self._process.close()
