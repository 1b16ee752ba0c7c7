"""Flags with a section of `--help` each belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from durahub.cli.arguments import from_go

CallableT = TypeVar("CallableT", bound=Callable[..., Any])


class SectionOption(click.Option):
    """A flag that `--help` lists in a section."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionHelp(click.Command):
    """A command whose `--help` has sections.

    Attributes:
        untitled: Title above the flags that belong to no section.
    """

    untitled = "Options"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, one definition list per section, in the order of the command."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                title = parameter.section if isinstance(parameter, SectionOption) else self.untitled
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class SectionCommand(SectionHelp):
    """A command whose `--help` has sections, and which reads flags as Go programs do."""

    untitled = "Other"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; see `durahub.cli.arguments`."""
        options = {
            name: parameter
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            for name in parameter.opts
        }
        try:
            return super().parse_args(ctx, from_go(args, options))
        except click.UsageError as error:
            # Some of click's own errors do not say which command's help would help.
            error.ctx = error.ctx or ctx
            raise


def section_option(
    section: str, *names: str, **attributes: Any
) -> Callable[[CallableT], CallableT]:
    """Return a decorator that adds a flag in a section; attributes are those of `click.option`."""
    return click.option(*names, cls=SectionOption, section=section, **attributes)
