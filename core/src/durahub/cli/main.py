"""The command line of a build."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import click

from durahub.cli.failures import describe_failure
from durahub.cli.lazy_group import LazyCommand, LazyGroup
from durahub.server.status import core_version

if TYPE_CHECKING:
    # What an edition is made of takes most of the time of `durahub --help`.
    from durahub.edition import Edition

PROGRAM = "durahub"

HELP = """Durable workflows for Dapr Workflow SDKs, stored where you choose.

\b
  durahub run -- python app.py    the sidecar together with an application
  durahub serve --app-id shop     the sidecar by itself
"""


def build_command(edition: Edition) -> click.Group:
    """Return the whole command line of a build: `run`, `serve`, `backends`, `db`, `version`."""
    return _build_lazily(lambda: edition)


def main(edition: Edition | None = None, *, program: str = PROGRAM) -> NoReturn:
    """Run the command line of a build, and end the process with its exit code.

    A vendor's console script calls it with its own edition and its own name; without an edition it is the
    open-source build.
    """
    command = _build_lazily(_oss) if edition is None else build_command(edition)
    sys.exit(execute(command, sys.argv[1:], program=program))


def execute(command: click.Command, arguments: list[str], *, program: str = PROGRAM) -> int:
    """Run a command and return its exit code, after telling on standard error what failed."""
    try:
        code = command.main(arguments, prog_name=program, standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the border: all becomes a message and an exit code
        failure = describe_failure(error)
        _tell(failure.message)
        return failure.exit_code
    return code if isinstance(code, int) else 0


def _build_lazily(edition: Callable[[], Edition]) -> click.Group:
    group = LazyGroup(
        PROGRAM,
        help=HELP,
        context_settings={"help_option_names": ["-h", "--help"]},
        lazy={
            "run": LazyCommand(
                "Run the sidecar together with an application.", lambda: _run(edition())
            ),
            "serve": LazyCommand("Run the sidecar by itself.", lambda: _serve(edition())),
            "backends": LazyCommand(
                "Show which backends this build can use.", lambda: _backends(edition())
            ),
            "db": LazyCommand(
                "Look after the store: its schema, and who may read.", lambda: _db(edition())
            ),
            "version": LazyCommand("Print what this build is.", lambda: _version(edition())),
        },
    )
    add_version = click.version_option(
        core_version(), "--version", message="%(version)s", help="Print the version alone."
    )
    return add_version(group)


def _tell(message: str) -> None:
    try:
        if message:
            click.echo(message, err=True)
    except OSError:
        # Nobody is left to read it; without this, Python would complain when it closes the streams.
        devnull = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(devnull, stream.fileno())


# Each of these is needed by one command only, and together they are slow to import.


def _oss() -> Edition:
    from durahub.edition import OSS  # noqa: PLC0415 - slow to import

    return OSS


def _run(edition: Edition) -> click.Command:
    from durahub.cli.run import run_command  # noqa: PLC0415 - slow to import

    return run_command(edition)


def _serve(edition: Edition) -> click.Command:
    from durahub.cli.serve import serve_command  # noqa: PLC0415 - slow to import

    return serve_command(edition)


def _backends(edition: Edition) -> click.Command:
    from durahub.cli.backends import backends_group  # noqa: PLC0415 - slow to import

    return backends_group(edition)


def _db(edition: Edition) -> click.Command:
    from durahub.cli.db import db_group  # noqa: PLC0415 - slow to import

    return db_group(edition)


def _version(edition: Edition) -> click.Command:
    from durahub.cli.version import version_command  # noqa: PLC0415 - slow to import

    return version_command(edition)
