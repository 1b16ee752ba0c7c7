"""Commands that are imported when they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that may never be needed.

    Attributes:
        summary: What the list of commands says of it.
        build: Imports and returns it.
    """

    summary: str
    build: Callable[[], click.Command]


class LazyGroup(click.Group):
    """A group whose `--help` imports none of its commands."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which help lists them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, built now; None if there is none of this name."""
        lazy = self._lazy.get(cmd_name)
        return None if lazy is None else lazy.build()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in self._lazy.items()])
