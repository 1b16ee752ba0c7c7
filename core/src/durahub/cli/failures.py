"""What a failed command tells, and the exit code it ends with."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import click

from durahub.errors import DurahubError

EXIT_CRASH = 1
EXIT_FAILURE = 2
EXIT_SIGINT = 130


class CommandError(Exception):
    """Ends a command with a message and an exit code of its own.

    Attributes:
        exit_code: Of the process.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command failed.

    Attributes:
        message: For standard error; empty if there is nothing to say.
        exit_code: Of the process.
    """

    message: str
    exit_code: int


def describe_failure(error: BaseException) -> Failure:
    """Return what to tell about an error that ended a command."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        # Of a background task that failed; the group says nothing more.
        return describe_failure(error.exceptions[0])
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure("", EXIT_SIGINT)
    if isinstance(error, SystemExit):
        # Of click itself, when nobody reads the output any more.
        return Failure("", error.code if isinstance(error.code, int) else EXIT_CRASH)
    return _expected(error) or _crash(error)


def _expected(error: BaseException) -> Failure | None:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            return Failure(error.format_message(), error.exit_code)
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "durahub"
            message = f"{error.format_message()}\nSee '{path} --help'."
            return Failure(f"durahub: error: {message}", error.exit_code)
        case click.ClickException():
            return Failure(f"durahub: error: {error.format_message()}", error.exit_code)
        case CommandError():
            return Failure(f"durahub: error: {error}", error.exit_code)
        case DurahubError():
            return Failure(f"durahub: error: {error}", EXIT_FAILURE)
    return None


def _crash(error: BaseException) -> Failure:
    report = "".join(traceback.format_exception(error))
    return Failure(
        f"{report}durahub: internal error: {type(error).__name__}: {error}\n"
        "This is a bug of durahub or of the backend; please report it with the lines above.",
        EXIT_CRASH,
    )
