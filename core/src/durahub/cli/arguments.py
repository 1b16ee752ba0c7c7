"""Command lines written for Go programs, in the words of click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import click

_GO_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_GO_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def from_go(arguments: Sequence[str], options: Mapping[str, click.Option]) -> list[str]:
    """Return the arguments with `-long-flag` as `--long-flag` and without values for switches.

    What follows the first argument that is no flag, or `--`, is left alone: it is not ours.

    Args:
        arguments: The command line.
        options: The known flags by their names, dashes included.

    Raises:
        click.BadParameter: A switch has a value that is neither true nor false.
    """
    translated: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or argument == "--":
            translated.append(argument)
            break
        flag = _with_two_dashes(argument)
        name, has_value, value = flag.partition("=")
        option = options.get(name)
        if option is None or not option.is_flag:
            translated.append(flag)
            if option is not None and not has_value:
                # The next argument is the value, even if it begins with a dash.
                translated.extend(islice(rest, 1))
        elif not has_value or _is_true(value, option):
            translated.append(name)
    translated.extend(rest)
    return translated


def _with_two_dashes(argument: str) -> str:
    is_long = len(argument) > len("-x") and not argument.startswith("--")
    return f"-{argument}" if is_long else argument


def _is_true(value: str, option: click.Option) -> bool:
    if value not in _GO_TRUE | _GO_FALSE:
        raise click.BadParameter(f"{value!r} is neither true nor false", param=option)
    return value in _GO_TRUE
