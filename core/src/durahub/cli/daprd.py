"""`durahub daprd`: what the program that `durahub install-daprd` makes runs.

It is `durahub serve` as daprd's callers know it: under daprd's name, with daprd's switches that end at once,
and with flags accepted that not even this version knows of.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from durahub.cli.arguments import from_go
from durahub.cli.serve import serve_command
from durahub.edition import Edition
from durahub.server.status import core_version

PROCESS_NAME = "daprd"

_PR_SET_NAME = 15


def daprd_command(edition: Edition) -> click.Command:
    """Return the command `daprd` of a build."""
    serve = serve_command(edition)
    assert serve.callback is not None, "it is a command, not a group"
    return _Daprd(
        "daprd",
        params=[
            *serve.params,
            _switch("--version", core_version()),
            _switch("--build-info", f"Version: {core_version()}\nEdition: {edition.name}"),
            click.Option(
                ["--wait"], is_flag=True, expose_value=False, callback=_refuse, hidden=True
            ),
        ],
        callback=serve.callback,
        help="Run the sidecar as a stand-in for daprd; see `durahub install-daprd`.",
    )


class _Daprd(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {
            name: parameter
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            for name in parameter.opts
        }
        known, unknown = split_flags(args, options)
        if unknown:
            names = ",".join(unknown)
            click.echo(f"durahub: unknown flags have no effect: {names}", err=True)
        return super().parse_args(ctx, from_go(known, options))

    def invoke(self, ctx: click.Context) -> Any:
        name_process(PROCESS_NAME)
        return super().invoke(ctx)


def split_flags(
    arguments: Sequence[str], options: Mapping[str, click.Option]
) -> tuple[list[str], list[str]]:
    """Return the arguments without unknown flags and their values, and the names of those flags.

    An unknown flag takes the next argument for its value, unless that is a flag: daprd takes no other
    arguments than flags.

    Args:
        arguments: The command line; flags may have one dash.
        options: The known flags by their names, dashes included.
    """
    kept: list[str] = []
    unknown: list[str] = []
    rest = list(reversed(arguments))
    while rest:
        argument = rest.pop()
        flag, has_value, _ = argument.lstrip("-").partition("=")
        option = options.get(f"--{flag}")
        if option is not None or not argument.startswith("-"):
            kept.append(argument)
            if option is not None and not option.is_flag and not has_value and rest:
                kept.append(rest.pop())
            continue
        unknown.append(argument.partition("=")[0])
        if not has_value and rest and not rest[-1].startswith("-"):
            rest.pop()
    return kept, unknown


def name_process(name: str) -> None:
    """Let the kernel call this process so, where it can be told: tools look for daprd by its name."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def _switch(name: str, answer: str) -> click.Option:
    def tell(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
        if value:
            click.echo(answer)
            ctx.exit()

    return click.Option(
        [name], is_flag=True, is_eager=True, expose_value=False, callback=tell, hidden=True
    )


def _refuse(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value:
        raise click.BadParameter(
            "it would wait for another sidecar and end; ask GET /v1.0/healthz/outbound instead",
            ctx,
            parameter,
        )
