"""The command line of a build."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
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
  durahub workflow list           what workflows there are
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
    workflow = LazyCommand("Start, find, watch and steer workflows.", lambda: _workflow(edition))
    group = LazyGroup(
        PROGRAM,
        help=HELP,
        context_settings={"help_option_names": ["-h", "--help"]},
        lazy={
            "run": LazyCommand(
                "Run the sidecar together with an application.", lambda: _run(edition())
            ),
            "serve": LazyCommand("Run the sidecar by itself.", lambda: _serve(edition())),
            "workflow": workflow,
            "wf": replace(workflow, is_alias=True),
            "backends": LazyCommand(
                "Show which backends this build can use.", lambda: _backends(edition())
            ),
            "config": LazyCommand("Check configuration files.", lambda: _config(edition())),
            "db": LazyCommand(
                "Look after the store: its schema, and who may read.", lambda: _db(edition())
            ),
            "install-daprd": LazyCommand("Let `dapr run` start this sidecar.", _install_daprd),
            "uninstall-daprd": LazyCommand("Undo install-daprd.", _uninstall_daprd),
            "daprd": LazyCommand(
                "Run the sidecar as daprd.", lambda: _daprd(edition()), is_alias=True
            ),
            "completion": LazyCommand("Let a shell complete command lines.", _completion),
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


def _workflow(edition: Callable[[], Edition]) -> click.Command:
    from durahub.cli.workflow import workflow_group  # noqa: PLC0415 - slow to import

    return workflow_group(edition)


def _config(edition: Edition) -> click.Command:
    from durahub.cli.config_check import config_group  # noqa: PLC0415 - slow to import

    return config_group(edition)


def _install_daprd() -> click.Command:
    from durahub.cli.install_daprd import install_daprd_command  # noqa: PLC0415 - slow to import

    return install_daprd_command()


def _uninstall_daprd() -> click.Command:
    from durahub.cli.install_daprd import uninstall_daprd_command  # noqa: PLC0415 - slow to import

    return uninstall_daprd_command()


def _daprd(edition: Edition) -> click.Command:
    from durahub.cli.daprd import daprd_command  # noqa: PLC0415 - slow to import

    return daprd_command(edition)


def _completion() -> click.Command:
    from durahub.cli.completion import completion_command  # noqa: PLC0415 - slow to import

    return completion_command(PROGRAM)


def _version(edition: Edition) -> click.Command:
    from durahub.cli.version import version_command  # noqa: PLC0415 - slow to import

    return version_command(edition)
