from __future__ import annotations

import click
import pytest
from durahub.cli.failures import CommandError, describe_failure
from durahub.cli.main import execute
from durahub.errors import BackendLockedError, ConfigError


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (ConfigError("bad", location="f.yaml:3"), "durahub: error: f.yaml:3: bad", 2),
        (BackendLockedError("in use"), "durahub: error: in use", 2),
        (CommandError("no such program", exit_code=127), "durahub: error: no such program", 127),
        (click.ClickException("x"), "durahub: error: x", 1),
        (click.UsageError("x"), "durahub: error: x\nSee 'durahub --help'.", 2),
        (KeyboardInterrupt(), "", 130),
        (SystemExit(3), "", 3),
        (
            ExceptionGroup("tasks", [ExceptionGroup("inner", [BackendLockedError("in use")])]),
            "durahub: error: in use",
            2,
        ),
    ],
)
def test_an_expected_error_is_one_message(error: BaseException, message: str, code: int) -> None:
    failure = describe_failure(error)
    assert (failure.message, failure.exit_code) == (message, code)


def test_an_unexpected_error_says_that_it_is_a_bug_and_shows_where() -> None:
    failure = describe_failure(ZeroDivisionError("x"))
    assert failure.exit_code == 1
    assert "durahub: internal error: ZeroDivisionError: x\nThis is a bug" in failure.message


def test_nothing_escapes_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def crash() -> None:
        raise KeyboardInterrupt

    assert execute(crash, []) == 130
    assert capsys.readouterr().err.strip() == ""
