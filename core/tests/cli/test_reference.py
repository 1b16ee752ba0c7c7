"""docs/reference/cli.md says what the commands say, and every command says enough."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import click
import pytest


def load_reference() -> ModuleType:
    path = Path(__file__).with_name("reference.py")
    spec = importlib.util.spec_from_file_location("cli_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()


def test_the_page_is_written_from_the_commands() -> None:
    _, mark, written = reference.PAGE.read_text().partition(f"{reference.MARK}\n\n")
    assert mark
    assert written == reference.generated(), "run: python core/tests/cli/reference.py"


def test_every_command_is_on_the_page() -> None:
    paths = [ctx.command_path for ctx in reference.commands()]
    assert len(paths) == len(set(paths)) > 25
    assert {"durahub serve", "durahub workflow tail", "durahub config check"} <= set(paths)
    text = reference.PAGE.read_text()
    assert [path for path in paths if f"\n## `{path}`\n" not in text] == []


@pytest.mark.parametrize("ctx", [*reference.commands()], ids=lambda ctx: ctx.command_path)
def test_help_is_worth_reading(ctx: click.Context) -> None:
    command = ctx.command
    assert command.help
    assert len(command.help.split()) >= 5
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.opts
            assert parameter.help.rstrip()[-1] in ".;)", parameter.opts
    if ctx.command_path.startswith("durahub workflow "):
        assert "Exit codes:" in (command.epilog or "")


def test_every_option_is_on_the_page() -> None:
    text = reference.PAGE.read_text()
    shared = {option.opts[-1] for ctx in reference.commands() for option in told_once(ctx)}
    assert {"--app-id", "--dapr-http-port", "--config"} <= shared
    missing = []
    for ctx in reference.commands():
        section = text.partition(f"\n## `{ctx.command_path}`\n")[2].partition("\n## ")[0]
        options = [*reference.own_options(ctx), *told_once(ctx)]
        missing += [
            f"{ctx.command_path} {option.opts[-1]}"
            for option in options
            if not option.hidden and "--help" not in option.opts and option.opts[-1] not in section
        ]
    assert missing == []


def test_what_is_told_once_is_the_same_for_all_verbs() -> None:
    (group,) = (ctx for ctx in reference.commands() if told_once(ctx))
    told = {option.opts[-1]: option.help for option in told_once(group)}
    for ctx in reference.commands():
        if ctx.parent is not None and ctx.parent.command_path == reference.VERBS:
            own = reference.own_options(ctx)
            for option in ctx.command.params:
                if isinstance(option, click.Option) and option not in own:
                    assert told[option.opts[-1]] == option.help


def told_once(ctx: click.Context) -> list[click.Option]:
    is_group = ctx.command_path == reference.VERBS
    return reference.shared_options(ctx) if is_group else []
