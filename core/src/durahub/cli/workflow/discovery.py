"""Which sidecars run on this machine, by its list of processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from durahub.cli.workflow.api import DEFAULT_HTTP_PORT

DEFAULT_GRPC_PORT = 50001

_NAMES = frozenset({"daprd", "durahub"})
_COMMANDS = frozenset({"serve", "run", "daprd"})
_PLACES_OF_NAME = 3
"""An interpreter and one flag of it may come before the program."""
_PROC = Path("/proc")
_PS = "/bin/ps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process that may be a sidecar, by its command line and environment.

    Attributes:
        pid: Its id.
        app_id: The application that it says it serves; None if it does not say so.
        http_port: Its HTTP port; 0 if it picks one itself.
        grpc_port: Its gRPC port; 0 if it picks one itself.
    """

    pid: int
    app_id: str | None
    http_port: int
    grpc_port: int


def running_sidecars() -> Iterator[Running]:
    """Yield what may be a sidecar, of this user and of root.

    Others are not looked at: whatever they call their processes would be given our API token.
    """
    for pid, arguments in _processes():
        found = read_process(pid, arguments)
        if found is not None:
            yield found


def read_process(pid: int, arguments: Sequence[str]) -> Running | None:
    """Return what a command line says of a sidecar; None if it is none's.

    Args:
        pid: The process.
        arguments: Its command line. What its flags don't say is looked up in its environment, where that
            may be read.
    """
    names = [Path(argument).name for argument in arguments[:_PLACES_OF_NAME]]
    flags = _flags(arguments)
    is_known = bool(_NAMES.intersection(names))
    if not (is_known or "app-id" in flags) or not _is_started(names, arguments):
        return None
    environ = _environ(pid)
    return Running(
        pid=pid,
        app_id=flags.get("app-id") or environ.get("APP_ID"),
        http_port=_port(
            flags.get("dapr-http-port") or environ.get("DAPR_HTTP_PORT"), DEFAULT_HTTP_PORT
        ),
        grpc_port=_port(
            flags.get("dapr-grpc-port") or environ.get("DAPR_GRPC_PORT"), DEFAULT_GRPC_PORT
        ),
    )


def _is_started(names: Sequence[str], arguments: Sequence[str]) -> bool:
    return "daprd" in names or bool(_COMMANDS.intersection(arguments[: _PLACES_OF_NAME + 1]))


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Return the flags of a command line up to `--`, without dashes."""
    flags: dict[str, str] = {}
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--":
            break
        if argument.startswith("-"):
            name, has_value, value = argument.lstrip("-").partition("=")
            flags[name] = value if has_value else following
    return flags


def _port(text: str | None, default: int) -> int:
    return max(int(text), 0) if text and text.lstrip("-").isdecimal() else default


def _processes() -> Iterator[tuple[int, list[str]]]:
    if not (_PROC / "self/cmdline").exists():
        yield from _listed_by_ps()
        return
    for directory in _PROC.iterdir():
        if directory.name.isdecimal():
            try:
                is_trusted = directory.stat().st_uid in _trusted_users()
                line = (directory / "cmdline").read_bytes() if is_trusted else b""
            except OSError:
                continue  # it ended meanwhile, or is hidden from us
            yield int(directory.name), line.decode(errors="replace").rstrip("\0").split("\0")


def _listed_by_ps() -> Iterator[tuple[int, list[str]]]:
    try:
        listing = subprocess.run(  # noqa: S603 - a constant
            (_PS, "-axww", "-o", "uid=,pid=,command="),
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError:
        return
    for line in listing.splitlines():
        user, pid, *arguments = line.split()
        if int(user) in _trusted_users():
            yield int(pid), arguments


def _trusted_users() -> frozenset[int]:
    return frozenset({0, os.getuid()})


def _environ(pid: int) -> dict[str, str]:
    try:
        text = (_PROC / str(pid) / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    pairs = (variable.partition("=") for variable in text.split("\0"))
    wanted = ("APP_ID", "DAPR_HTTP_PORT", "DAPR_GRPC_PORT")
    return {name: value for name, _, value in pairs if name in wanted}
