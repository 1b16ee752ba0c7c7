"""How the verbs of `durahub workflow` end."""

from __future__ import annotations

from durahub.cli.failures import EXIT_FAILURE, CommandError

EXIT_MISSING = 3
EXIT_NOT_YET = 4
EXIT_UNREACHABLE = 5
EXIT_ENDED_BADLY = 6

EXIT_CODES = """\b
Exit codes:
  0    done
  2    refused, or a wrong command line: standard error says what, and what to do
  3    there is no such workflow instance
  5    no sidecar was found, or it or its store could not be reached
  130  interrupted
"""

EXIT_CODES_OF_WAITING = """\b
Exit codes:
  0    reached; of the end: the workflow completed
  2    refused, or a wrong command line: standard error says what, and what to do
  3    there is no such workflow instance
  4    not within the time
  5    no sidecar was found, or it or its store could not be reached
  6    it ended otherwise: FAILED, TERMINATED or CANCELED
  130  interrupted
"""

_EXIT_OF_STATUS = {404: EXIT_MISSING, 503: EXIT_UNREACHABLE}
_MISSING_INSTANCE = "ERR_INSTANCE_ID_NOT_FOUND"


class UnreachableError(CommandError):
    """There is nobody to ask."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=EXIT_UNREACHABLE)


class RefusedError(CommandError):
    """The management API refused a call.

    Attributes:
        code: Its name of the reason.
    """

    def __init__(self, message: str, *, status: int, code: str) -> None:
        exit_code = _EXIT_OF_STATUS.get(status, EXIT_FAILURE)
        if exit_code == EXIT_MISSING and code != _MISSING_INSTANCE:
            exit_code = EXIT_FAILURE
        super().__init__(message, exit_code=exit_code)
        self.code = code
