"""A client in a process of its own, as tests see it."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.e2e.processes import HERE, Child, LogBook

ANSWER_S = 60.0

CHILD_CLIENT = (sys.executable, str(HERE / "child_client.py"))


class SdkError(Exception):
    """What the SDK raised.

    Attributes:
        kind: Class of the exception.
        code: Name of the gRPC status, if it was one.
        text: The details of the status, or the message.
    """

    def __init__(self, *, kind: str, code: str | None, text: str) -> None:
        super().__init__(f"{kind} {code or ''}: {text}")
        self.kind = kind
        self.code = code
        self.text = text


@dataclass(frozen=True)
class State:
    """What the SDK knows of an instance; inputs and outputs are JSON as it was sent."""

    instance_id: str
    name: str
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    failure: dict[str, str] | None
    created_at: str
    last_updated_at: str

    @property
    def result(self) -> Any:
        """The output of a workflow that completed."""
        assert self.status == "COMPLETED", self
        return None if self.output is None else json.loads(self.output)


class ClientProcess:
    """Makes the calls of all clients; several threads may use it at once.

    Args:
        logs: Makes the file for its output.
        command: Takes calls as lines of JSON, and answers as `child_client` does.
        name: Of its output.

    Attributes:
        log: Where its output goes, apart from answers.
    """

    def __init__(
        self, logs: LogBook, command: Sequence[str] = CHILD_CLIENT, name: str = "clients"
    ) -> None:
        self.log = logs.add(name)
        self._child = Child(command, log=self.log, piped=True)
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read_answers, daemon=True)
        self._reader.start()

    def submit(self, **call: Any) -> Future[Any]:
        """Begin a call; its outcome is what `child_client` describes."""
        outcome: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = outcome
            self._child.stdin.write(json.dumps({"id": number, **call}) + "\n")
            self._child.stdin.flush()
        return outcome

    def close(self) -> None:
        """End the process."""
        self._child.kill()
        self._reader.join()

    def _read_answers(self) -> None:
        try:
            for line in self._child.stdout:
                self._take(json.loads(line))
        finally:
            with self._lock:
                for outcome in self._waiting.values():
                    outcome.set_exception(EOFError("the process that makes the call has ended"))
                self._waiting.clear()

    def _take(self, answer: dict[str, Any]) -> None:
        outcome = self._waiting.pop(answer["id"])
        if "error" in answer:
            outcome.set_exception(SdkError(**answer["error"]))
        else:
            outcome.set_result(answer["value"])


class Client:
    """A client of the `dapr` SDK.

    Args:
        process: Where it runs.
        kind: `sync` or `aio`.
        grpc_port: The sidecar's.
    """

    def __init__(self, process: ClientProcess, kind: str, grpc_port: int) -> None:
        self._process = process
        self._kind = kind
        self._port = grpc_port

    def submit(self, method: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin a call of a method of the SDK's client."""
        return self._process.submit(
            kind=self._kind, port=self._port, method=method, args=args, kwargs=kwargs
        )

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the SDK's client.

        Raises:
            SdkError: It raised an exception.
        """
        return self.submit(method, *args, **kwargs).result(ANSWER_S)

    def start(
        self, workflow: str, argument: Any = None, *, start_at: datetime | None = None, **more: Any
    ) -> str:
        """Schedule a workflow and return its id."""
        if start_at is not None:
            more["start_at"] = start_at.isoformat()
        instance_id: str = self.call("schedule_new_workflow", workflow, input=argument, **more)
        return instance_id

    def run(self, workflow: str, argument: Any = None) -> Any:
        """Run a workflow to its end and return its result."""
        return self.wait(self.start(workflow, argument)).result

    def wait(self, instance_id: str, timeout_s: int = 30) -> State:
        """Return the state of an instance once it has ended."""
        answer = self.call(
            "wait_for_workflow_completion", instance_id, timeout_in_seconds=timeout_s
        )
        assert answer is not None, f"{instance_id} does not exist"
        return State(**answer)

    def find(self, instance_id: str) -> State | None:
        """Return the state of an instance, None if it does not exist."""
        answer = self.call("get_workflow_state", instance_id)
        return None if answer is None else State(**answer)

    def state(self, instance_id: str) -> State:
        """Return the state of an instance that exists."""
        state = self.find(instance_id)
        assert state is not None, f"{instance_id} does not exist"
        return state

    def status(self, instance_id: str) -> str:
        """Return the status of an instance that exists."""
        return self.state(instance_id).status

    def tell(self, instance_id: str, event: str, data: Any = None) -> None:
        """Raise an external event."""
        self.call("raise_workflow_event", instance_id, event, data=data)

    def terminate(self, instance_id: str, **more: Any) -> None:
        """Terminate an instance."""
        self.call("terminate_workflow", instance_id, **more)

    def history(self, instance_id: str) -> list[str]:
        """Return the kinds of the events of an instance's history."""
        events: list[dict[str, Any]] = self.call("get_workflow_history", instance_id)
        return [event["kind"] for event in events]
