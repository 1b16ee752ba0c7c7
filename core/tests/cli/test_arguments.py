from __future__ import annotations

import click
import pytest
from durahub.cli.arguments import from_go

VALUE = click.Option(["--app-id"])
SWITCH = click.Option(["--log-as-json"], is_flag=True)
OPTIONS = {"--app-id": VALUE, "--log-as-json": SWITCH}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-app-id", "x"], ["--app-id", "x"]),
        (["-app-id=x"], ["--app-id=x"]),
        (["--app-id", "x"], ["--app-id", "x"]),
        (["--app-id", "-log-as-json"], ["--app-id", "-log-as-json"]),
        (["--app-id", "--", "-log-as-json"], ["--app-id", "--", "--log-as-json"]),
        (["--app-id"], ["--app-id"]),
        (["-log-as-json=true", "-app-id", "x"], ["--log-as-json", "--app-id", "x"]),
        (["--log-as-json=F"], []),
        (["-log-as-json", "python", "-u", "-app-id"], ["--log-as-json", "python", "-u", "-app-id"]),
        (["--", "-app-id"], ["--", "-app-id"]),
        (["-h"], ["-h"]),
        (["-unknown"], ["--unknown"]),
        ([], []),
    ],
)
def test_command_lines_of_go_programs_are_translated(given: list[str], expected: list[str]) -> None:
    assert from_go(given, OPTIONS) == expected


def test_a_switch_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'maybe' is neither true nor false"):
        from_go(["--log-as-json=maybe"], OPTIONS)
