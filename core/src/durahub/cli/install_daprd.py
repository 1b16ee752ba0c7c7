"""`durahub install-daprd` and `uninstall-daprd`: the program that `dapr run` starts."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from durahub.cli.failures import EXIT_FAILURE, CommandError

NAME = "daprd"
KEPT_SUFFIX = ".before-durahub"

_MARK = "# Made by `durahub install-daprd`; `durahub uninstall-daprd` removes it."
_LONGEST_SHEBANG = 127
"""In bytes, of the oldest kernels in use."""
_SHEBANG_TAKES_NO = frozenset(" \t")

_EPILOG = """\b
Exit codes:
  0  done
  2  not done: standard error says why, and what to do

\b
Examples:
  durahub install-daprd --config ~/workflow.yaml
  dapr run --app-id shop -- python app.py
  dapr workflow list --app-id shop
"""

_dir_option = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Where the dapr CLI looks for daprd. Without it: bin in $DAPR_RUNTIME_PATH/.dapr, or in ~/.dapr.",
)


def install_daprd_command() -> click.Command:
    """Return the command `install-daprd`."""

    @click.command("install-daprd", epilog=_EPILOG)
    @_dir_option
    @click.option(
        "--config",
        multiple=True,
        metavar="FILE",
        help="Dapr Configuration file that each start reads first; those of its own command line win, key"
        " by key. Repeatable.",
    )
    @click.option(
        "--force",
        is_flag=True,
        help=f"Replace a program of somebody else's; it is kept as {NAME}{KEPT_SUFFIX}, and put back by"
        " uninstall-daprd.",
    )
    def install_daprd(*, directory: str | None, config: tuple[str, ...], force: bool) -> None:
        """Install a program named daprd that runs this sidecar, so that `dapr run` starts it.

        The dapr CLI stays as it is: `dapr run`, `dapr list` and `dapr workflow` start, find and ask this
        sidecar. The program takes the flags of daprd. It runs the very command that installs it, in its
        Python environment, and so changes with it.

        Without --config, what stores workflows has to be in the file that the dapr CLI passes, by default
        ~/.dapr/config.yaml.
        """
        place = directory_of(directory) / NAME
        configs = tuple(str(_existing(Path(file))) for file in config)
        kept = install(place, launcher(_own_program(), configs), force=force)
        click.echo(f"installed {place}")
        if kept is not None:
            click.echo(f"what was there is kept as {kept}")

    return install_daprd


def uninstall_daprd_command() -> click.Command:
    """Return the command `uninstall-daprd`."""

    @click.command("uninstall-daprd", epilog=_EPILOG.partition("\n\n")[0])
    @_dir_option
    def uninstall_daprd(*, directory: str | None) -> None:
        """Remove the program that install-daprd made, and put back what it replaced.

        A program of somebody else's is left alone. Sidecars that run go on running.
        """
        place = directory_of(directory) / NAME
        restored = uninstall(place)
        click.echo(f"put back {place}" if restored else f"removed {place}")

    return uninstall_daprd


def directory_of(given: str | None) -> Path:
    """Return where daprd belongs: what was given, or where the dapr CLI looks for it."""
    if given is not None:
        return Path(given).expanduser().absolute()
    runtime = os.environ.get("DAPR_RUNTIME_PATH")
    return (Path(runtime) if runtime else Path.home()).absolute() / ".dapr" / "bin"


def launcher(program: Path, configs: Sequence[str], python: str = sys.executable) -> str:
    """Return the text of the program.

    Args:
        program: The Python script that is the command of this build.
        configs: Configuration files that come before those of the command line.
        python: The interpreter.
    """
    before = [NAME, *(part for config in configs for part in ("--config", config))]
    # The interpreter's flag is not only for safety: with it the arguments of the process are pairs, as
    # tools expect that read daprd's flags from the list of processes.
    shebang = f"#!{python} -P"
    if len(shebang) > _LONGEST_SHEBANG or _SHEBANG_TAKES_NO & set(python):
        shebang = f"#!/bin/sh\n'''exec' \"{python}\" -P \"$0\" \"$@\"\n' '''"
    return (
        f"{shebang}\n{_MARK}\nimport runpy\nimport sys\n\n"
        f"sys.argv[1:1] = {before!r}\n"
        f"runpy.run_path({str(program)!r}, run_name='__main__')\n"
    )


def install(place: Path, text: str, *, force: bool) -> Path | None:
    """Write the program, at once or not at all; returns where what was there is kept, if it was not ours.

    Raises:
        CommandError: Something else is there and `force` is not set, or the directory can't be written.
    """
    kept = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place) and not is_ours(place):
            if not force:
                raise CommandError(
                    f"{place} was not made by install-daprd, so it is left as it is; with --force it is kept"
                    f" as {NAME}{KEPT_SUFFIX}",
                    exit_code=EXIT_FAILURE,
                )
            kept = place.with_name(NAME + KEPT_SUFFIX)
            place.replace(kept)
        _write(place, text)
    except OSError as error:
        raise CommandError(
            f"cannot install {place}: {error.strerror or error}", exit_code=EXIT_FAILURE
        ) from error
    return kept


def uninstall(place: Path) -> bool:
    """Remove the program; returns whether what it had replaced is back.

    Raises:
        CommandError: There is no such program, or it is not ours, or it can't be removed.
    """
    if not os.path.lexists(place):
        raise CommandError(f"there is no {place}", exit_code=EXIT_FAILURE)
    if not is_ours(place):
        raise CommandError(
            f"{place} was not made by install-daprd, so it is left as it is", exit_code=EXIT_FAILURE
        )
    kept = place.with_name(NAME + KEPT_SUFFIX)
    try:
        if os.path.lexists(kept):
            kept.replace(place)
            return True
        place.unlink()
    except OSError as error:
        raise CommandError(
            f"cannot remove {place}: {error.strerror or error}", exit_code=EXIT_FAILURE
        ) from error
    return False


def is_ours(place: Path) -> bool:
    """Return whether install-daprd made what is there."""
    try:
        with place.open("rb") as file:
            return _MARK.encode() in file.read(4096)
    except OSError:
        return False


def _write(place: Path, text: str) -> None:
    number, name = tempfile.mkstemp(dir=place.parent, prefix=f".{NAME}-")
    try:
        with os.fdopen(number, "w") as file:
            file.write(text)
        Path(name).chmod(0o755)
        Path(name).replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CommandError(f"there is no file {path}", exit_code=EXIT_FAILURE)
    return path.absolute()


def _own_program() -> Path:
    if sys.platform == "win32":
        raise CommandError(
            "a stand-in for daprd can't be installed on Windows", exit_code=EXIT_FAILURE
        )
    program = Path(sys.argv[0]).absolute()
    if not program.is_file():
        raise CommandError(
            "daprd would run the command that installs it, and that is no file here; call the installed"
            " `durahub` command",
            exit_code=EXIT_FAILURE,
        )
    return program
