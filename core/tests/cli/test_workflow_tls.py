"""`durahub workflow` and a sidecar with TLS that asks for certificates."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

Durahub = Callable[..., Any]


@pytest.fixture
def port(
    spawn: Callable[[Sequence[str]], subprocess.Popen[str]], sqlite_config: Path, tmp_path: Path
) -> int:
    """Return the HTTP port of a sidecar; the files that it needs and accepts are beside its store."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    client = authority.issue_cert("client@example.org")
    client.private_key_pem.write_to_path(tmp_path / "client-key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    with socket.create_server(("127.0.0.1", 0)) as server_socket:
        port: int = server_socket.getsockname()[1]
    spawn(
        [
            *("serve", "--app-id", "shop", "--config", sqlite_config.name, "--dapr-grpc-port", "0"),
            *("--dapr-http-port", str(port), "--tls-cert-file", "cert.pem"),
            *("--tls-key-file", "key.pem", "--tls-client-ca-file", "ca.pem"),
        ]
    )
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        threading.Event().wait(0.05)
    pytest.fail("the sidecar did not listen")


IDENTITY = ("--tls-cert-file", "client.pem", "--tls-key-file", "client-key.pem")


def test_it_is_trusted_and_trusts(durahub: Durahub, port: int) -> None:
    for where in (
        ("--dapr-http-port", str(port)),
        ("--http-endpoint", f"https://localhost:{port}"),
    ):
        outcome = durahub("wf", "list", *where, "--tls-ca-file", "ca.pem", *IDENTITY, "--json")
        assert (outcome.code, outcome.out) == (0, "[]\n"), outcome.err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ((), 5, "no answer from the sidecar at http://"),
        (("--tls-ca-file", "stranger.pem", *IDENTITY), 5, "certificate verify failed"),
        (("--tls-ca-file", "ca.pem"), 5, "no answer from the sidecar at https://localhost"),
        (("--tls-ca-file", "key.pem"), 2, "key.pem: no certificates can be read"),
        (("--tls-ca-file", "nowhere.pem"), 2, "nowhere.pem: no certificates can be read"),
        (("--tls-cert-file", "ca.pem"), 2, "ca.pem: no certificates can be read"),
        (("--tls-key-file", "client-key.pem"), 2, "a key belongs to a certificate"),
    ],
)
def test_without_the_right_files_it_says_why(
    durahub: Durahub, port: int, flags: tuple[str, ...], code: int, message: str
) -> None:
    outcome = durahub("wf", "list", "--dapr-http-port", str(port), *flags)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
