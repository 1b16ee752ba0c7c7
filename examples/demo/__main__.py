"""Shows it; ends with 0 only if all of it was true."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from examples.demo.crash import survive_a_crash
from examples.demo.processes import DemoError, Workshop
from examples.demo.screen import console, explain, say
from examples.demo.tour import take_tour

LONGEST_S = 55

EXPLANATION = """
Durahub runs Dapr workflows: it is the sidecar that Dapr's workflow SDKs talk to, and stores what they do
in a backend that you choose. This demo runs real workflows on it, kills it, and then looks into the file.
"""


def main() -> int:
    """Return the exit code."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, _stop)
    signal.alarm(LONGEST_S)
    began = time.monotonic()
    explain("Durahub", EXPLANATION)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="durahub-demo-") as directory,
            Workshop(Path(directory)) as workshop,
        ):
            return _show(workshop, began)
    except KeyboardInterrupt:
        say("stopped")
        return 128 + signal.SIGINT


def _show(workshop: Workshop, began: float) -> int:
    try:
        take_tour(workshop)
        survive_a_crash(workshop)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the log tells more
        _report(workshop, error)
        return 1
    say(f"All of it is true, after {time.monotonic() - began:.0f} s.")
    return 0


def _report(workshop: Workshop, error: Exception) -> None:
    for log in (workshop.app_log, workshop.sidecar_log):
        if log.exists():
            console.print(f"\n--- {log.name} ---", markup=False)
            console.print(log.read_text(), markup=False, soft_wrap=True)
    kind = "" if isinstance(error, DemoError) else f"{type(error).__name__}: "
    console.print(f"\nThe demo failed: {kind}{error}", style="bold red", markup=False)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise DemoError(f"not finished after {LONGEST_S} s")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
