"""`durahub completion`: what makes a shell complete command lines."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\b
Load it in each new shell:
  bash   echo 'eval "$(durahub completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(durahub completion zsh)"' >> ~/.zshrc
  fish   durahub completion fish > ~/.config/fish/completions/durahub.fish
"""


def completion_command(program: str) -> click.Command:
    """Return the command `completion` of a program of this name."""

    @click.command("completion", epilog=EPILOG)
    @click.argument("shell", type=click.Choice(SHELLS))
    @click.pass_context
    def completion(ctx: click.Context, *, shell: str) -> None:
        """Print a script that makes SHELL complete commands, options and their values.

        The script asks the command itself, so it need not be made anew after an upgrade. bash has to be
        of version 4.4 or newer.
        """
        from click.shell_completion import get_completion_class  # noqa: PLC0415 - for shells only

        maker = get_completion_class(shell)
        assert maker is not None, "click knows the three shells"
        variable = f"_{program}_COMPLETE".upper().replace("-", "_").replace(".", "_")
        click.echo(maker(ctx.find_root().command, {}, program, variable).source())

    return completion
