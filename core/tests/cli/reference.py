"""Writes the generated part of docs/reference/cli.md: `python core/tests/cli/reference.py`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import click
from durahub.cli.main import PROGRAM, build_command
from durahub.cli.sections import SectionOption
from durahub.edition import OSS

VERBS = f"{PROGRAM} workflow"
PAGE = Path(__file__).parents[3] / "docs/reference/cli.md"
MARK = (
    "<!-- What follows is written by core/tests/cli/reference.py from the commands themselves. -->"
)


def commands() -> Iterator[click.Context]:
    """Yield every command that is listed, groups before what is in them."""
    group = build_command(OSS)
    yield from _below(group.make_context(PROGRAM, [], resilient_parsing=True))


def generated() -> str:
    """Return the page's part below the mark."""
    return "\n".join("\n".join(_section(ctx)).rstrip() + "\n" for ctx in commands())


def own_options(ctx: click.Context) -> list[click.Option]:
    """Return the options that the section of a command tells; those that verbs share are told once."""
    options = [each for each in ctx.command.get_params(ctx) if isinstance(each, click.Option)]
    if not ctx.command_path.startswith(f"{VERBS} "):
        return options
    return [option for option in options if not isinstance(option, SectionOption)]


def shared_options(group: click.Context) -> list[click.Option]:
    """Return the options that verbs share; `list` has all of them."""
    assert isinstance(group.command, click.Group)
    command = group.command.get_command(group, "list")
    assert command is not None
    return [option for option in command.params if isinstance(option, SectionOption)]


def _below(ctx: click.Context) -> Iterator[click.Context]:
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None
            yield from _below(click.Context(command, info_name=name, parent=ctx))


def _section(ctx: click.Context) -> Iterator[str]:
    command = ctx.command
    yield f"## `{ctx.command_path}`"
    yield ""
    is_group = isinstance(command, click.Group)
    usage = ["COMMAND"] if is_group else command.collect_usage_pieces(ctx)
    yield f"    {ctx.command_path} {' '.join(usage)}"
    yield ""
    yield from _text(command.help or "")
    yield from _table(ctx, own_options(ctx))
    yield from _text(command.epilog or "")
    if ctx.command_path == VERBS:
        yield "Flags of all verbs, the last ones only of those that work on a store:"
        yield ""
        yield from _table(ctx, shared_options(ctx))


def _table(ctx: click.Context, options: list[click.Option]) -> Iterator[str]:
    rows = [row for option in options if (row := _row(option, ctx))]
    if rows:
        yield from ("| option | meaning |", "|---|---|", *rows, "")


def _row(option: click.Option, ctx: click.Context) -> str | None:
    record = option.get_help_record(ctx)
    if record is None or "--help" in option.opts:
        return None
    names, meaning = (" ".join(text.split()).replace("|", "\\|") for text in record)
    return f"| `{names}` | {meaning} |"


def _text(text: str) -> Iterator[str]:
    """Yield paragraphs; what help leaves as it is becomes a block of code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        if lines[:1] == ["\b"]:
            title = lines[1:2] if lines[1][:1] != " " else []
            yield from (*title, *([""] if title else []), "```")
            yield from inspect.cleandoc("\n" + "\n".join(lines[1 + len(title) :])).splitlines()
            yield "```"
        elif lines:
            yield from lines
        yield ""


def main() -> None:
    """Write the page."""
    head = PAGE.read_text().partition(MARK)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{generated()}")


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith(("DAPR_", "APP_"))]:
        del os.environ[name]
    main()
