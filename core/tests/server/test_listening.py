from __future__ import annotations

import socket

import pytest
from durahub.errors import ConfigError, StartupError
from durahub.server.listening import (
    LOOPBACK,
    bind_sockets,
    find_port,
    join_address,
    parse_listen_addresses,
    usable_addresses,
)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", LOOPBACK),
        (" , ", LOOPBACK),
        ("localhost", LOOPBACK),
        ("127.0.0.1", ("127.0.0.1",)),
        ("[::1],127.0.0.1", ("::1", "127.0.0.1")),
        ("10.0.0.7, 10.0.0.7", ("10.0.0.7",)),
        ("0.0.0.0", ("0.0.0.0",)),
        ("127.0.0.1,::", ("::",)),
    ],
)
def test_listen_addresses_are_parsed(text: str, hosts: tuple[str, ...]) -> None:
    assert parse_listen_addresses(text) == hosts


@pytest.mark.parametrize("text", ["example.org", "127.0.0.1:50001", "[::1", "300.0.0.1"])
def test_what_is_no_address_is_refused_with_the_flag(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--dapr-listen-addresses: .*no IP address"):
        parse_listen_addresses(text)


def test_a_free_port_is_free_on_all_addresses() -> None:
    hosts = usable_addresses(LOOPBACK)
    port = find_port(hosts, 0, flag="--p")
    sockets = bind_sockets(hosts, port, flag="--p")
    assert {bound.getsockname()[1] for bound in sockets} == {port}
    for bound in sockets:
        bound.close()


def test_a_port_in_use_on_one_address_is_refused_and_the_others_are_let_go() -> None:
    hosts = usable_addresses(LOOPBACK)
    with socket.create_server((hosts[-1], 0), family=_family(hosts[-1])) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartupError, match=rf"port {port} is in use on .*--the-flag"):
            bind_sockets(hosts, port, flag="--the-flag")
    for bound in bind_sockets(hosts, port, flag="--p"):
        bound.close()


def test_an_address_of_another_machine_is_explained() -> None:
    with pytest.raises(StartupError, match=r"192\.0\.2\.1 is no address of this machine"):
        bind_sockets(("192.0.2.1",), 0, flag="--p")


def test_addresses_are_joined_with_brackets_for_ipv6() -> None:
    assert join_address("::1", 5) == "[::1]:5"
    assert join_address("127.0.0.1", 5) == "127.0.0.1:5"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
