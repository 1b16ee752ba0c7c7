"""Commands that are imported when they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    # Of use to shells only, which ask rarely.
    from click.shell_completion import CompletionItem


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that may never be needed.

    Attributes:
        summary: What the list of commands says of it.
        build: Imports and returns it.
        is_alias: Whether it is another name of a command, or called by programs only; no list has it.
    """

    summary: str
    build: Callable[[], click.Command]
    is_alias: bool = False


class LazyGroup(click.Group):
    """A group whose `--help` and whose completion import none of its commands."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which help lists them."""
        return [name for name, _ in self._listed()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, built now; None if there is none of this name."""
        lazy = self._lazy.get(cmd_name)
        return None if lazy is None else lazy.build()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in self._listed()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what may come next on a command line: commands and options of the group."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for shells only

        commands = [
            CompletionItem(name, help=lazy.summary)
            for name, lazy in self._listed()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def _listed(self) -> Iterator[tuple[str, LazyCommand]]:
        return ((name, lazy) for name, lazy in self._lazy.items() if not lazy.is_alias)
