"""`durahub run`: the sidecar together with an application."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import click

from durahub.cli.app_process import find_program
from durahub.cli.sections import SectionCommand
from durahub.cli.sidecar_flags import read_sidecar_flags, sidecar_flags
from durahub.edition import Edition

EPILOG = """\b
Examples:
  durahub run -- python app.py
  durahub run --app-id shop --config workflow.yaml -- node app.js
  durahub run --dapr-grpc-port 0 --dapr-http-port 0 -- ./gradlew run

All other flags of daprd are accepted without effect. Flags may be written with one dash.
"""

_NOT_IN_APP_IDS = re.compile(r"[^A-Za-z0-9_-]+")


def run_command(edition: Edition) -> click.Command:
    """Return the command `run` of a build."""

    @click.command(
        "run",
        cls=SectionCommand,
        epilog=EPILOG,
        options_metavar="[OPTIONS] --",
        context_settings={"allow_interspersed_args": False},
    )
    @sidecar_flags
    @click.argument("command", nargs=-1, required=True, metavar="CMD...")
    @click.pass_context
    def run(ctx: click.Context, /, command: tuple[str, ...], **flags: Any) -> int:
        """Run the sidecar and, as soon as it is ready, an application.

        The application gets APP_ID, DAPR_GRPC_PORT and DAPR_HTTP_PORT (and APP_PORT, if given) in its
        environment. Without --app-id, the name of the current directory is the app id: workflows
        belong to it, so it has to be the same next time.

        SIGINT, SIGTERM and SIGHUP go to the application's process group; a second one kills it. When
        the application ends, the sidecar stops, and the exit code is the application's: 128 + n if
        signal n ended it. If the sidecar can't start, the application is not started.
        """
        # Before the server is imported, whose libraries add variables of their own.
        environ = dict(os.environ)
        app_id = flags["app_id"] or app_id_of(Path.cwd())
        options, common = read_sidecar_flags(ctx, flags, app_id=app_id, environ=environ)
        program = find_program(command, environ)
        # These take most of the start-up time of the whole command.
        from durahub.cli.logging_setup import set_up_logging  # noqa: PLC0415 - slow to import
        from durahub.cli.supervision import Supervisor  # noqa: PLC0415 - slow to import
        from durahub.server.sidecar import Sidecar  # noqa: PLC0415 - slow to import

        apply_logging = set_up_logging(common, app_id=options.app_id)
        if common.app_port is not None:
            environ["APP_PORT"] = str(common.app_port)

        async def main() -> int:
            sidecar = Sidecar(edition, options, environ=environ, apply_logging=apply_logging)
            supervisor = Supervisor(sidecar, grace_s=options.graceful_shutdown_s)
            return await supervisor.run(command, program=program, environ=environ)

        return asyncio.run(main())

    return run


def app_id_of(directory: Path) -> str:
    """Return an app id made of a directory's name: other characters than letters and digits are dashes."""
    return _NOT_IN_APP_IDS.sub("-", directory.name).strip("-") or "app"
