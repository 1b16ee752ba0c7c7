"""`durahub serve`: the sidecar by itself."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from durahub.cli.sections import SectionCommand
from durahub.cli.sidecar_flags import read_sidecar_flags, sidecar_flags
from durahub.edition import Edition

EPILOG = """\b
Examples:
  durahub serve --app-id shop
  durahub serve --app-id shop --config workflow.yaml --log-as-json
  durahub serve --app-id shop --dapr-grpc-port 0 --dapr-http-port 0

All other flags of daprd are accepted without effect. Flags may be written with one dash.
With DAPR_API_TOKEN in the environment, or with tokens in the configuration, clients have to present one.
"""


def serve_command(edition: Edition) -> click.Command:
    """Return the command `serve` of a build."""

    @click.command("serve", cls=SectionCommand, epilog=EPILOG)
    @sidecar_flags
    @click.pass_context
    def serve(ctx: click.Context, /, **flags: Any) -> None:
        """Run the sidecar until it is told to stop.

        Takes the flags of daprd, so that what starts daprd can start this. SIGINT and SIGTERM stop it
        gracefully; a second one ends it at once. SIGHUP makes it read its files again.
        """
        environ = dict(os.environ)
        options, common = read_sidecar_flags(ctx, flags, app_id=flags["app_id"], environ=environ)
        # These take most of the start-up time of the whole command.
        from durahub.cli.logging_setup import set_up_logging  # noqa: PLC0415 - slow to import
        from durahub.server.sidecar import Sidecar, serve_until_stopped  # noqa: PLC0415 - slow to import

        apply_logging = set_up_logging(common, app_id=options.app_id)

        async def main() -> None:
            await serve_until_stopped(
                Sidecar(edition, options, environ=environ, apply_logging=apply_logging)
            )

        asyncio.run(main())

    return serve
