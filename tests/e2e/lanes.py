"""Clients that keep a sidecar busy, and know exactly what it owes them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.e2e.client import Client, SdkError
from tests.e2e.processes import pause

T = TypeVar("T")

LANES = 7
RETRY_S = 0.05
LONGEST_RUN_S = 60
EVENTS = 6

SQUARES = [number * number for number in range(50)]

CASES: dict[str, tuple[Any, Any]] = {
    "chain": (30, SQUARES[:30]),
    "fan": (15, [14] * 15),
    "naps": (12, SQUARES[:12]),
    "generations": ({"left": 20, "results": []}, SQUARES[20:0:-1]),
    "family": (8, [SQUARES[:length] for length in range(1, 9)]),
    "retries": (12, SQUARES[:12]),
}
"""Workflow to its input and the only right result."""


class Lanes:
    """Some clients side by side, each of which runs one workflow after the other.

    A call that is lost with the sidecar is made again; what the sidecar acknowledged has to be kept.

    Args:
        client: Makes the calls.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._finished: Counter[str] = Counter()
        self._running: list[Future[None]] = []

    @property
    def finished(self) -> Counter[str]:
        """How many instances of each workflow came to the right result."""
        return self._finished

    def are_connected(self) -> bool:
        """Return whether calls get through: the library pauses before it connects again."""
        try:
            self._client.find("nothing")
        except SdkError as error:
            if error.code != "UNAVAILABLE":
                raise
            return False
        return True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run until the block ends and what was begun is finished; then raise what went wrong."""
        with ThreadPoolExecutor(LANES) as threads:
            self._running = [threads.submit(self._run, number) for number in range(LANES)]
            try:
                yield
            finally:
                self._enough.set()
        self.check()

    def check(self) -> None:
        """Raise what went wrong until now."""
        done, _ = wait(self._running, timeout=0)
        for lane in done:
            lane.result()

    def _run(self, lane: int) -> None:
        kinds = itertools.cycle((*CASES, "listener"))
        for number, kind in enumerate(itertools.islice(kinds, lane, None)):
            if self._enough.is_set():
                return
            instance_id = f"{kind}-{lane}-{number}"
            if kind == "listener":
                self._run_listener(instance_id)
            else:
                self._run_case(kind, instance_id)
            with self._lock:
                self._finished[kind] += 1

    def _run_case(self, kind: str, instance_id: str) -> None:
        argument, expected = CASES[kind]
        self._start(kind, argument, instance_id)
        assert self._result(instance_id) == expected, instance_id

    def _run_listener(self, instance_id: str) -> None:
        self._start("listener", None, instance_id)
        tries = {n: self._tell(instance_id, n) for n in range(1, EVENTS + 1)}
        self._tell(instance_id, "stop")
        heard = Counter(self._result(instance_id))
        # An event whose acknowledgement was lost may have arrived, and was sent again.
        for number, times in tries.items():
            assert 1 <= heard.pop(number) <= times, (instance_id, number, times)
        assert not heard, (instance_id, heard)

    def _start(self, kind: str, argument: Any, instance_id: str) -> None:
        def start() -> None:
            self._client.start(kind, argument, instance_id=instance_id)

        try:
            self._insist(start)
        except SdkError as error:
            # An earlier try was accepted, and its acknowledgement lost.
            if error.code != "ALREADY_EXISTS":
                raise

    def _tell(self, instance_id: str, data: Any) -> int:
        return self._insist(lambda: self._client.tell(instance_id, "go", data))[1]

    def _result(self, instance_id: str) -> Any:
        deadline = time.monotonic() + LONGEST_RUN_S
        while True:
            try:
                # Briefly: when the sidecar is away, the SDK pauses for up to the time that it has.
                return self._insist(lambda: self._client.wait(instance_id, timeout_s=1))[0].result
            except SdkError as error:
                if error.kind != "TimeoutError" or time.monotonic() > deadline:
                    raise

    def _insist(self, call: Callable[[], T]) -> tuple[T, int]:
        """Return what a call returned, and at which try."""
        deadline = time.monotonic() + LONGEST_RUN_S
        for tries in itertools.count(1):
            try:
                return call(), tries
            except SdkError as error:
                if error.code != "UNAVAILABLE" or time.monotonic() > deadline:
                    raise
                pause(RETRY_S)
        raise AssertionError("unreachable")
