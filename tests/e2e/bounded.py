"""`bounded.py SECONDS COMMAND…`: becomes COMMAND, which ends with its parent or when its time is up."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    seconds, *command = sys.argv[1:]
    # Both survive exec: nothing that a test does or forgets to do leaves a process behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.alarm(int(seconds))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
