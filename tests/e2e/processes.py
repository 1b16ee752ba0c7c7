"""Child processes of tests, and what they wrote."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
LONGEST_LIFE_S = 3_600
STOP_S = 10.0
POLL_S = 0.04


class LogBook:
    """The output of all child processes; a failed test shows what was added since it began."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._shown: dict[Path, int] = {}

    def add(self, name: str) -> Path:
        """Return a new file for the output of one process."""
        path = self._directory / f"{next(self._numbers):03}-{name}.log"
        path.touch()
        self._shown[path] = 0
        return path

    def forget(self) -> None:
        """Show nothing of what was written until now."""
        for path in self._shown:
            self._shown[path] = path.stat().st_size

    def recent(self) -> Iterator[tuple[str, str]]:
        """Yield the names and the new parts of files that have any."""
        for path, offset in self._shown.items():
            with path.open("rb") as file:
                file.seek(offset)
                text = file.read().decode(errors="replace")
            if text:
                yield path.stem, text


class Child:
    """A process that does not outlive its test.

    Args:
        command: What to run.
        log: Where its standard error goes, and its standard output unless `piped`.
        piped: Whether standard input and output are pipes, for lines of text.
        directory: Where it works, if not here.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        piped: bool = False,
        directory: Path | None = None,
    ) -> None:
        bounded = (sys.executable, "-I", "-S", str(HERE / "bounded.py"), str(LONGEST_LIFE_S))
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                (*bounded, *command),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                env=_environment(),
                cwd=directory,
                start_new_session=True,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def kill(self) -> None:
        """End it with SIGKILL, as a crash or the kernel would. Idempotent."""
        self._process.kill()
        self._process.wait(STOP_S)
        self._close_pipes()

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code. Idempotent.

        Raises:
            subprocess.TimeoutExpired: It did not end, and was killed.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        finally:
            self.kill()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _environment() -> dict[str, str]:
    """Return this process's variables, except for those that configure SDKs or the sidecar."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DAPR_")}


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = 20.0) -> None:
    """Return as soon as `condition()` is true; fail the test if that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        pause(POLL_S)


def pause(seconds: float) -> None:
    """Let time pass, where the passing of time is the point."""
    time.sleep(seconds)  # noqa: TID251 - no loop runs here
