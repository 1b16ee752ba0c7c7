"""TLS on both ports of a sidecar, with certificates made here."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import httpx2
import pytest
import trustme
from durahub.edition import OSS
from durahub.errors import ConfigError, StartupError
from durahub.server.options import SidecarOptions
from durahub.server.sidecar import Sidecar
from durahub.server.tls import Tls, TlsFiles
from durahub.types import AppId

SidecarFactory = Callable[..., Sidecar]

HELLO = "/TaskHubSidecarService/Hello"
SDK = """
from dapr.ext.workflow import DaprWorkflowClient, WorkflowRuntime
runtime = WorkflowRuntime()
@runtime.workflow(name="Flow")
def flow(ctx, given):
    return given + 1
runtime.start()
client = DaprWorkflowClient()
instance = client.schedule_new_workflow(flow, input=41)
print(client.wait_for_workflow_completion(instance, timeout_in_seconds=30).serialized_output)
runtime.shutdown()
"""


class Paths:
    """Files of a server, of its root, and of a client."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.root = trustme.CA()
        self.clients = trustme.CA()
        self.files = TlsFiles(certificate=directory / "cert.pem", key=directory / "key.pem")
        self.ca, self.client_ca = directory / "ca.pem", directory / "clients.pem"
        self.root.cert_pem.write_to_path(self.ca)
        self.clients.cert_pem.write_to_path(self.client_ca)
        self.renew()

    def renew(self) -> bytes:
        """Write another certificate for the server; return it."""
        leaf = self.root.issue_cert("localhost", "127.0.0.1", "::1")
        leaf.private_key_pem.write_to_path(self.files.key)
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        self.files.certificate.write_bytes(chain)
        return leaf.cert_chain_pems[0].bytes()

    def client(self, authority: trustme.CA) -> tuple[bytes, bytes]:
        """Return certificate and key of a client."""
        leaf = authority.issue_cert("client@example.org")
        leaf.private_key_and_cert_chain_pem.write_to_path(self._directory / "client.pem")
        return leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()

    def context(self, *, with_client: bool = False) -> ssl.SSLContext:
        """Return what an HTTP client trusts, and what it presents."""
        context = ssl.create_default_context(cafile=self.ca)
        if with_client:
            context.load_cert_chain(self._directory / "client.pem")
        return context


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture
def new_sidecar(tmp_path: Path) -> SidecarFactory:
    config = tmp_path / "config.yaml"
    config.write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec: {workflow: {backendType: sqlite,"
        f" storeConfiguration: {{connectionString: '{tmp_path / 'hub.db'}'}}}}}}\n"
    )

    def create(tls: TlsFiles | None) -> Sidecar:
        options = SidecarOptions(
            app_id=AppId("shop"), config_paths=(config,), http_port=0, grpc_port=0, tls=tls
        )
        return Sidecar(OSS, options, environ={})

    return create


def _mutual(paths: Paths) -> TlsFiles:
    files = paths.files
    return TlsFiles(certificate=files.certificate, key=files.key, client_ca=paths.client_ca)


async def _hello(sidecar: Sidecar, credentials: grpc.ChannelCredentials) -> bytes:
    address = f"localhost:{sidecar.grpc_port}"
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        unary: Any = channel.unary_unary(HELLO)
        answer: bytes = await unary(b"", timeout=5)
        return answer


async def _health(sidecar: Sidecar, context: ssl.SSLContext) -> int:
    async with httpx2.AsyncClient(verify=context) as http:
        url = f"https://localhost:{sidecar.http_port}/v1.0/healthz"
        return (await http.get(url)).status_code


async def test_both_ports_speak_tls_and_nothing_else(
    new_sidecar: SidecarFactory, paths: Paths
) -> None:
    async with new_sidecar(paths.files) as sidecar:
        trusting = grpc.ssl_channel_credentials(paths.ca.read_bytes())
        assert await _hello(sidecar, trusting) == b""
        assert await _health(sidecar, paths.context()) == 204
        with pytest.raises(grpc.aio.AioRpcError):
            await _hello(sidecar, grpc.ssl_channel_credentials(paths.client_ca.read_bytes()))
        with pytest.raises(httpx2.HTTPError):
            await _health(sidecar, ssl.create_default_context())
        async with grpc.aio.insecure_channel(f"localhost:{sidecar.grpc_port}") as channel:
            unary: Any = channel.unary_unary(HELLO)
            with pytest.raises(grpc.aio.AioRpcError):
                await unary(b"", timeout=5)
        async with httpx2.AsyncClient() as http:
            with pytest.raises(httpx2.HTTPError):
                await http.get(f"http://localhost:{sidecar.http_port}/v1.0/healthz")


async def test_with_roots_for_clients_only_their_certificates_are_let_in(
    new_sidecar: SidecarFactory, paths: Paths
) -> None:
    root = paths.ca.read_bytes()
    async with new_sidecar(_mutual(paths)) as sidecar:
        for certificate, key in ((None, None), paths.client(paths.root)):
            with pytest.raises(grpc.aio.AioRpcError):
                await _hello(sidecar, grpc.ssl_channel_credentials(root, key, certificate))
        with pytest.raises(httpx2.HTTPError):
            await _health(sidecar, paths.context())
        certificate, key = paths.client(paths.clients)
        assert await _hello(sidecar, grpc.ssl_channel_credentials(root, key, certificate)) == b""
        assert await _health(sidecar, paths.context(with_client=True)) == 204


async def _presented(port: int) -> bytes:
    """Return the certificate that a port presents."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(der).encode()


async def test_a_renewed_certificate_is_presented_after_a_reload(
    new_sidecar: SidecarFactory, paths: Paths
) -> None:
    async with new_sidecar(paths.files) as sidecar:
        before = await _presented(sidecar.grpc_port)
        renewed = paths.renew()
        for port in (sidecar.grpc_port, sidecar.http_port):
            assert await _presented(port) == before
        sidecar.reload()
        for port in (sidecar.grpc_port, sidecar.http_port):
            assert await _presented(port) == renewed


async def test_a_reload_with_unusable_files_changes_nothing(
    new_sidecar: SidecarFactory, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    async with new_sidecar(_mutual(paths)) as sidecar:
        before = paths.files.certificate.read_bytes()
        paths.files.certificate.write_text("broken")
        sidecar.reload()
        assert "--tls-cert-file and --tls-key-file" in caplog.records[-1].__dict__["error"]
        paths.files.certificate.write_bytes(before)
        paths.client_ca.write_bytes(paths.ca.read_bytes())
        sidecar.reload()
        assert (
            "--tls-client-ca-file: other roots need a restart"
            in caplog.records[-1].__dict__["error"]
        )
        certificate, key = paths.client(paths.clients)
        root = paths.ca.read_bytes()
        assert await _hello(sidecar, grpc.ssl_channel_credentials(root, key, certificate)) == b""


async def test_an_unmodified_sdk_works_over_tls(new_sidecar: SidecarFactory, paths: Paths) -> None:
    async with new_sidecar(paths.files) as sidecar, asyncio.timeout(60):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SDK),
            env={
                "DAPR_GRPC_ENDPOINT": f"https://localhost:{sidecar.grpc_port}",
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(paths.ca),
                "PATH": os.environ["PATH"],
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert out.decode().strip() == "42", err.decode()


def test_files_that_can_t_be_used_are_named(paths: Paths) -> None:
    files = paths.files
    other = paths.files.certificate.with_name("other.pem")
    for certificate, key, client_ca, message in (
        (files.certificate, files.certificate, None, "are no PEM certificate with its key"),
        (files.key, files.key, None, "are no PEM certificate with its key"),
        (files.certificate, other, None, "--tls-key-file: cannot read .*other.pem: No such file"),
        (other, files.key, None, "--tls-cert-file: cannot read .*other.pem: No such file"),
        (files.certificate, files.key, files.key, "--tls-client-ca-file: .*key.pem has no PEM"),
        (files.certificate, files.key, other, "--tls-client-ca-file: cannot read"),
    ):
        with pytest.raises(StartupError, match=message):
            Tls(TlsFiles(certificate=certificate, key=key, client_ca=client_ca))


def test_a_key_with_a_passphrase_is_refused_and_asked_for_nowhere(paths: Paths) -> None:
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415

    key = s.load_pem_private_key(paths.files.key.read_bytes(), None)
    encrypted = s.BestAvailableEncryption(b"passphrase")
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encrypted)
    paths.files.key.write_bytes(locked)
    with pytest.raises(StartupError, match="the key needs a passphrase"):
        Tls(paths.files)


def test_flags_belong_together() -> None:
    assert TlsFiles.from_flags("", "", "") is None
    both = TlsFiles.from_flags("c", "k", "")
    assert both == TlsFiles(certificate=Path("c"), key=Path("k"))
    for flags in (("c", "", ""), ("", "k", ""), ("", "", "ca")):
        with pytest.raises(ConfigError, match="both needed"):
            TlsFiles.from_flags(*flags)


def test_no_repr_shows_a_key(paths: Paths) -> None:
    tls = Tls(paths.files)
    assert "PRIVATE" not in f"{tls!r} {tls.pems!r} {vars(tls)!r}"
