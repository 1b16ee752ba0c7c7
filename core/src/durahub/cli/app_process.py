"""The application that `durahub run` starts."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from durahub.cli.failures import CommandError

EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128


def find_program(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the path of the program that a command line starts.

    Raises:
        CommandError: There is none; exit code 127, as in a shell.
    """
    path = shutil.which(command[0], path=environ.get("PATH"))
    if path is None:
        raise CommandError(
            f"cannot start {command[0]!r}: there is no such program on the PATH, or it is not"
            " executable; nothing was started",
            exit_code=EXIT_NOT_FOUND,
        )
    return path


class AppProcess:
    """A running application, in a process group of its own.

    It shares standard output and error with this process. A terminal on standard input stays with this
    process, which is in the terminal's foreground; the application then reads an empty input.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, command: Sequence[str], *, program: str, environ: Mapping[str, str]
    ) -> AppProcess:
        """Start an application.

        Args:
            command: Its arguments, the name first.
            program: Path of the program; see `find_program`.
            environ: Its environment.

        Raises:
            CommandError: The system refuses to run the program; exit code 126.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                executable=program,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL if _has_terminal() else None,
                process_group=0,
            )
        except OSError as error:
            raise CommandError(
                f"cannot start {command[0]!r}: {error.strerror or error}",
                exit_code=EXIT_NOT_EXECUTABLE,
            ) from error
        return cls(process)

    async def wait(self) -> int:
        """Return its exit code when it has ended; 128 + n if signal n ended it."""
        code = await self._process.wait()
        return code if code >= 0 else EXIT_SIGNAL_BASE - code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and all processes of its group, if any is left."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def stop(self, grace_s: float) -> None:
        """End whatever is left of its group: SIGTERM, and SIGKILL after the grace."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
