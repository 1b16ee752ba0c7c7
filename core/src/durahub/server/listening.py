"""Addresses and ports to listen on."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import ip_address

from durahub.errors import ConfigError, StartupError

LOOPBACK = ("127.0.0.1", "::1")
"""Both families, because SDKs connect to `localhost` and some try IPv6 first."""

_BACKLOG = 1024
_ALL_INTERFACES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what a user may ask for


def parse_listen_addresses(text: str) -> tuple[str, ...]:
    """Return the addresses of a comma-separated list, such as `127.0.0.1,[::1]`.

    `localhost` means both loopback addresses. An address of all interfaces covers every other one.

    Raises:
        ConfigError: An entry is neither an IP address nor `localhost`.
    """
    hosts: dict[str, None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        hosts.update(dict.fromkeys(LOOPBACK if part == "localhost" else (_parse_address(part),)))
    if not hosts:
        return LOOPBACK
    wildcard = next((host for host in hosts if host in _ALL_INTERFACES), None)
    return (wildcard,) if wildcard else tuple(hosts)


def usable_addresses(hosts: Sequence[str]) -> tuple[str, ...]:
    """Return `hosts` without IPv6 loopback where this machine has none beside IPv4 loopback."""
    if "127.0.0.1" in hosts and "::1" in hosts and not _has_ipv6_loopback():
        return tuple(host for host in hosts if host != "::1")
    return tuple(hosts)


def bind_sockets(hosts: Sequence[str], port: int, *, flag: str) -> tuple[socket.socket, ...]:
    """Return one listening TCP socket per address, all on one port.

    Args:
        hosts: IP addresses.
        port: 0 picks a port that is free on all addresses.
        flag: The command-line flag that chooses the port, for the error.

    Raises:
        StartupError: The port is in use, or can't be bound for another reason.
    """
    with ExitStack() as undo:
        bound: list[socket.socket] = []
        for host in hosts:
            bound.append(undo.enter_context(_bind(host, port, flag)))
            port = bound[0].getsockname()[1]
        undo.pop_all()
    return tuple(bound)


def find_port(hosts: Sequence[str], port: int, *, flag: str) -> int:
    """Return `port`, or a free one for 0, after proving that it can be bound on all addresses.

    Raises:
        StartupError: As `bind_sockets`.
    """
    sockets = bind_sockets(hosts, port, flag=flag)
    found: int = sockets[0].getsockname()[1]
    for bound in sockets:
        bound.close()
    return found


def join_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_address(part: str) -> str:
    bare = part[1:-1] if part.startswith("[") and part.endswith("]") else part
    try:
        return str(ip_address(bare))
    except ValueError:
        raise ConfigError(
            f"{part!r} is no IP address; write addresses without ports, such as 127.0.0.1,[::1]",
            location="--dapr-listen-addresses",
        ) from None


def _has_ipv6_loopback() -> bool:
    try:
        _open("::1", 0).close()
    except OSError:
        return False
    return True


def _bind(host: str, port: int, flag: str) -> socket.socket:
    try:
        return _open(host, port)
    except OSError as error:
        raise StartupError(_bind_failure(host, port, flag, error)) from error


def _open(host: str, port: int) -> socket.socket:
    is_ipv6 = ":" in host
    bound = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        bound.bind((host, port))
        # Two processes may bind one port; only one of them may listen.
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_failure(host: str, port: int, flag: str, error: OSError) -> str:
    address = join_address(host, port)
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use on {host}: stop the process that listens there"
            f" (another sidecar?), or choose another port with {flag}"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on {address}: choose a port above 1023 with {flag}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: see --dapr-listen-addresses"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"cannot listen on {address}: {reason}; see {flag} and --dapr-listen-addresses"
