"""What a sidecar reads at its start, and what becomes of it when it is told to read again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc.aio
import httpx2
import pytest
from durahub.config import LoggingSection
from durahub.edition import OSS
from durahub.errors import ConfigError
from durahub.protocol import messages as pb
from durahub.server.options import SidecarOptions
from durahub.server.settings import load_settings
from durahub.server.sidecar import Sidecar
from durahub.types import AppId

HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec:\n"
TOKENS = """\
  api:
    tokens:
    - {name: viewer, roles: [read], workflows: ["Order*"], token: {fileRef: viewer}}
    - {name: ops, roles: [admin], token: {secretKeyRef: {name: OPS_TOKEN}}}
"""
COMPONENTS = """\
kind: Component
metadata: {name: env}
spec: {type: secretstores.local.env}
---
kind: Component
metadata: {name: store}
spec:
  type: state.redis
  metadata: [{name: redisPassword, secretKeyRef: {name: PASSWORD}}]
auth: {secretStore: env}
"""
HELLO = "/TaskHubSidecarService/Hello"


class Files:
    """The files of one sidecar, in the working directory."""

    def __init__(self) -> None:
        self.environ = {"OPS_TOKEN": "ops-secret", "PASSWORD": "pass-secret"}
        self.logging: list[LoggingSection] = []
        Path("viewer").write_text("viewer-secret\n")
        Path("components.yaml").write_text(COMPONENTS)
        self.write()

    def write(self, *, workflow: str = "", more: str = TOKENS, backend: str = "sqlite") -> None:
        Path("config.yaml").write_text(
            f"{HEAD}  workflow:\n    backendType: {backend}\n"
            f"    storeConfiguration: {{connectionString: hub.db}}\n    {workflow}\n{more}"
        )

    def renew_viewer(self, secret: str) -> None:
        Path("viewer").write_text(secret)

    def options(self, **given: Any) -> SidecarOptions:
        return SidecarOptions(
            **{
                "app_id": AppId("shop"),
                "config_paths": (Path("config.yaml"),),
                "resource_paths": (Path("components.yaml"),),
                "http_port": 0,
                "grpc_port": 0,
                **given,
            }
        )

    def sidecar(self, **given: Any) -> Sidecar:
        return Sidecar(
            OSS,
            self.options(**given),
            environ=self.environ,
            apply_logging=self.logging.append,
        )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.chdir(tmp_path)
    return Files()


async def _code(sidecar: Sidecar, token: str, method: str = HELLO, request: bytes = b"") -> str:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        unary: Any = channel.unary_unary(method)
        try:
            await unary(request, metadata=(("dapr-api-token", token),), timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"


async def _http(sidecar: Sidecar, method: str, path: str, token: str) -> int:
    async with httpx2.AsyncClient(headers={"dapr-api-token": token}) as http:
        url = f"http://127.0.0.1:{sidecar.http_port}/v1.0{path}"
        return (await http.request(method, url)).status_code


async def test_tokens_of_the_configuration_count_on_both_ports(files: Files) -> None:
    async with files.sidecar(api_token="dapr-secret") as sidecar:
        for token, read, write in (
            ("viewer-secret", 200, 403),
            ("ops-secret", 200, 204),
            ("dapr-secret", 200, 204),
            ("wrong", 401, 401),
            ("", 401, 401),
        ):
            assert await _http(sidecar, "GET", "/metadata", token) == read
            assert await _http(sidecar, "PUT", "/metadata/key", token) == write
            expected = "UNAUTHENTICATED" if read == 401 else "OK"
            assert await _code(sidecar, token) == expected
        assert await _http(sidecar, "GET", "/healthz", "") == 204
        purge = pb.PurgeInstancesRequest(instanceId="x").SerializeToString()
        method = "/TaskHubSidecarService/PurgeInstances"
        assert await _code(sidecar, "viewer-secret", method, purge) == "PERMISSION_DENIED"


async def test_a_reload_takes_tokens_limits_retention_rules_and_the_log(files: Files) -> None:
    async with files.sidecar() as sidecar:
        assert await _code(sidecar, "viewer-secret") == "OK"
        files.renew_viewer("renewed-secret")
        files.write(
            workflow="maxConcurrentWorkflows: 7\n    stateRetentionPolicy: {anyTerminal: 1h}",
            more=TOKENS + "    denied: [{name: metadata}]\n  logging: {level: debug}\n",
        )
        assert await _code(sidecar, "viewer-secret") == "OK"
        sidecar.reload()
        assert await _code(sidecar, "viewer-secret") == "UNAUTHENTICATED"
        assert await _code(sidecar, "renewed-secret") == "OK"
        assert await _http(sidecar, "GET", "/metadata", "renewed-secret") == 404
        assert [section.level for section in files.logging] == [None, "debug"]
        engine = sidecar._engine
        assert engine is not None
        assert engine._workbench._instance_limit == 7
        assert len(engine._retention._rounds) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda files: files.write(backend="postgres"),
            "spec.workflow.backendType: .* 'sqlite' is in use, 'postgres' is wanted",
        ),
        (
            lambda files: files.write(workflow="globalMaxConcurrentWorkflowInvocations: 5"),
            "globalMaxConcurrentWorkflowInvocations: .* None is in use, 5 is wanted",
        ),
        (
            lambda _: Path("config.yaml").write_text(
                Path("config.yaml").read_text().replace("hub.db", "canary.db")
            ),
            r"storeConfiguration: .* '\*\*\*' is in use",
        ),
        (
            lambda files: files.environ.update(PASSWORD="canary"),
            "components under --resources-path",
        ),
        (lambda files: files.environ.pop("OPS_TOKEN"), "tokens.*has no secret 'OPS_TOKEN'"),
        (lambda _: Path("config.yaml").write_text("kind: ["), "config.yaml:1"),
        (lambda _: Path("config.yaml").unlink(), "cannot read the file"),
        (lambda _: Path("viewer").write_text("ops-secret"), "two tokens have the same secret"),
    ],
)
async def test_a_reload_that_can_t_be_is_refused_as_a_whole(
    files: Files, caplog: pytest.LogCaptureFixture, change: Callable[[Files], object], message: str
) -> None:
    async with files.sidecar() as sidecar:
        change(files)
        with caplog.at_level(logging.ERROR, "durahub"):
            sidecar.reload()
        (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert record.getMessage() == "the reload is refused, nothing has changed"
        assert re.search(message, record.__dict__["error"]), record.__dict__["error"]
        assert "canary" not in record.__dict__["error"]
        assert await _code(sidecar, "viewer-secret") == "OK"
        assert await _code(sidecar, "ops-secret") == "OK"


def test_other_machines_need_a_token_unless_somebody_says_otherwise(files: Files) -> None:
    files.write(more="")
    for hosts in (("0.0.0.0",), ("::",), ("127.0.0.1", "192.0.2.1")):
        with pytest.raises(ConfigError, match=r"--dapr-listen-addresses: .*--listen-without-token"):
            load_settings(files.options(hosts=hosts), files.environ)
        load_settings(files.options(hosts=hosts, listens_without_token=True), files.environ)
        load_settings(files.options(hosts=hosts, api_token="s"), files.environ)
    load_settings(files.options(hosts=("127.0.0.1", "::1", "127.0.0.9")), files.environ)
    files.write()
    load_settings(files.options(hosts=("0.0.0.0",)), files.environ)


async def test_a_reload_does_not_open_a_sidecar_that_others_reach(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with files.sidecar(hosts=("0.0.0.0",)) as sidecar:
        files.write(more="")
        sidecar.reload()
        assert "--listen-without-token" in caplog.records[-1].__dict__["error"]
        assert await _code(sidecar, "") == "UNAUTHENTICATED"


def test_a_limited_worker_is_refused(files: Files) -> None:
    files.write(more=TOKENS.replace("[read]", "[read, worker]"))
    with pytest.raises(
        ConfigError, match=r"spec\.api\.tokens: viewer: .*'worker' can't be limited"
    ):
        load_settings(files.options(), files.environ)


def test_settings_show_no_secret(files: Files) -> None:
    settings = load_settings(files.options(api_token="dapr-secret"), files.environ)
    assert len(settings.tokens) == 3
    assert "-secret" not in repr(settings)
    assert "-secret" not in repr(files.options(api_token="dapr-secret"))


async def test_a_reload_of_a_sidecar_that_did_not_start_does_nothing(files: Files) -> None:
    files.write(backend="nonsense")
    sidecar = files.sidecar()
    with suppress(ConfigError):
        await sidecar.__aenter__()
    sidecar.reload()
