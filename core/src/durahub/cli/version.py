"""`durahub version`: what exactly this build is."""

from __future__ import annotations

import json
import platform

import click

from durahub.backend import CONTRACT_VERSION
from durahub.edition import Edition
from durahub.server.status import core_version


def version_command(edition: Edition) -> click.Command:
    """Return the command `version` of a build."""

    @click.command("version")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def version(*, as_json: bool) -> None:
        """Print versions: of this build, of the backend contract, of Python."""
        facts = {
            "version": core_version(),
            "edition": edition.name,
            "backendContract": str(CONTRACT_VERSION),
            "python": platform.python_version(),
        }
        if as_json:
            click.echo(json.dumps(facts))
        else:
            click.echo(
                f"durahub {facts['version']} (edition {facts['edition']},"
                f" backend contract {facts['backendContract']}, Python {facts['python']})"
            )

    return version
