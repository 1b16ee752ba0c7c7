"""The command that the stand-in for daprd runs: flags of callers that are newer or older than this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from durahub.cli.daprd import daprd_command, split_flags
from durahub.edition import OSS

Durahub = Callable[..., Any]


def options() -> dict[str, Any]:
    return {name: option for option in daprd_command(OSS).params for name in option.opts}


@pytest.mark.parametrize(
    ("arguments", "kept", "unknown"),
    [
        (("--app-id", "shop"), ["--app-id", "shop"], []),
        (("-app-id=shop", "--enable-mtls"), ["-app-id=shop", "--enable-mtls"], []),
        (("--app-max-concurrency", "-1"), ["--app-max-concurrency", "-1"], []),
        (("--new", "value", "--app-id", "x"), ["--app-id", "x"], ["--new"]),
        (("--new=value", "--app-id", "x"), ["--app-id", "x"], ["--new"]),
        (("--switch", "--app-id", "x"), ["--app-id", "x"], ["--switch"]),
        (("-one", "1", "--two"), [], ["-one", "--two"]),
        (("--app-id",), ["--app-id"], []),
        (("stray",), ["stray"], []),
    ],
)
def test_unknown_flags_are_taken_out_with_their_values(
    arguments: tuple[str, ...], kept: list[str], unknown: list[str]
) -> None:
    assert split_flags(arguments, options()) == (kept, unknown)


def test_unknown_flags_are_told_once_and_do_not_stop_it(durahub: Durahub) -> None:
    outcome = durahub("daprd", "--from-the-future", "1", "--another", "--app-id", "a.b")
    assert outcome.code == 2
    told, refusal = outcome.err.splitlines()
    assert told == "durahub: unknown flags have no effect: --from-the-future,--another"
    assert "--app-id: 'a.b' is no app id" in refusal


def test_it_refuses_what_it_would_not_do(durahub: Durahub) -> None:
    outcome = durahub("daprd", "--wait")
    assert outcome.code == 2
    assert "Invalid value for '--wait'" in outcome.err
