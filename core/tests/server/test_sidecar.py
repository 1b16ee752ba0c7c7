"""The life cycle, with the real engine, the bundled SQLite backend, and real clients."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import httpx2
import pytest
from durahub.backend import Support, SupportLevel
from durahub.edition import OSS
from durahub.errors import BackendLockedError, ConfigError, StartupError
from durahub.protocol import messages as pb
from durahub.server.options import SidecarOptions
from durahub.server.sidecar import Sidecar
from durahub.types import AppId
from durahub_sqlite import SqliteBackend
from durahub_sqlite.backend import CAPABILITIES

SERVICE = "/TaskHubSidecarService"

SidecarFactory = Callable[..., Sidecar]


@pytest.fixture
def new_sidecar(tmp_path: Path) -> SidecarFactory:
    def create(*, more: str = "", **options: object) -> Sidecar:
        config = tmp_path / "config.yaml"
        config.write_text(
            "apiVersion: dapr.io/v1alpha1\n"
            "kind: Configuration\n"
            "metadata: {name: test}\n"
            "spec:\n"
            "  workflow:\n"
            "    backendType: sqlite\n"
            f"    storeConfiguration: {{connectionString: '{tmp_path / 'hub.db'}'}}\n"
            f"    {more}\n"
        )
        given = {
            "app_id": AppId("shop"),
            "config_paths": (config,),
            "http_port": 0,
            "grpc_port": 0,
            "graceful_shutdown_s": 2,
            **options,
        }
        return Sidecar(OSS, SidecarOptions(**given), environ={})  # type: ignore[arg-type]

    return create


def channel_to(sidecar: Sidecar, host: str = "127.0.0.1") -> Any:
    # The stubs know no calls with bytes on both sides.
    return grpc.aio.insecure_channel(f"{host}:{sidecar.grpc_port}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_inside_the_block_everything_is_up(
    new_sidecar: SidecarFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "durahub")
    async with new_sidecar() as sidecar:
        assert sidecar.is_ready
        base = f"http://localhost:{sidecar.http_port}/v1.0"
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{base}/healthz")).status_code == 204
            metadata = (await http.get(f"{base}/metadata")).json()
        assert metadata["id"] == "shop"
        assert metadata["durahub"]["backend"]["distribution"] == "durahub-sqlite"
        async with channel_to(sidecar, "localhost") as channel:
            assert await channel.unary_unary(f"{SERVICE}/Hello")(b"") == b""
    messages = [record.getMessage() for record in caplog.records]
    assert any(m.startswith("dapr initialized. Status: Running. Init Elapsed ") for m in messages)
    assert not sidecar.is_ready
    assert _is_free(sidecar.http_port)
    assert _is_free(sidecar.grpc_port)


async def test_connected_workers_are_counted_and_an_open_stream_does_not_hold_up_the_stop(
    new_sidecar: SidecarFactory,
) -> None:
    async with new_sidecar(graceful_shutdown_s=30) as sidecar:
        channel = channel_to(sidecar)
        request = pb.GetWorkItemsRequest().SerializeToString()
        stream = channel.unary_stream(f"{SERVICE}/GetWorkItems")(request)
        async with asyncio.timeout(30), httpx2.AsyncClient() as http:
            while sidecar.connected_workers == 0:  # noqa: ASYNC110 - seen from outside
                await asyncio.sleep(0.01)
            url = f"http://127.0.0.1:{sidecar.http_port}/v1.0/metadata"
            assert (await http.get(url)).json()["workflows"] == {"connectedWorkers": 1}
        stopping_from = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopping_from < 20
    assert await stream.code() is grpc.StatusCode.CANCELLED
    assert await stream.details() == "shutting down"
    await channel.close()


async def test_a_call_that_waits_does_not_hold_up_the_stop(new_sidecar: SidecarFactory) -> None:
    async with new_sidecar() as sidecar:
        channel = channel_to(sidecar)
        start = pb.CreateInstanceRequest(instanceId="a", name="W").SerializeToString()
        waiting = channel.unary_unary(f"{SERVICE}/StartInstance")(start)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        stopping_from = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopping_from < 20
    assert await waiting.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
    await channel.close()


async def test_what_was_stored_is_there_after_a_restart(new_sidecar: SidecarFactory) -> None:
    get = pb.GetInstanceRequest(instanceId="a").SerializeToString()
    start = pb.CreateInstanceRequest(instanceId="a", name="W")
    start.scheduledStartTimestamp.GetCurrentTime()
    start.scheduledStartTimestamp.seconds += 3600
    for call in (f"{SERVICE}/StartInstance", None):
        async with (
            new_sidecar() as sidecar,
            channel_to(sidecar) as channel,
        ):
            if call is not None:
                await channel.unary_unary(call)(start.SerializeToString())
            answer = await channel.unary_unary(f"{SERVICE}/GetInstance")(get)
            assert pb.GetInstanceResponse.FromString(answer).exists


async def test_a_port_in_use_fails_the_start_before_the_store_is_touched(
    new_sidecar: SidecarFactory, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sidecar = new_sidecar(grpc_port=port)
        with pytest.raises(StartupError, match=rf"port {port} is in use"):
            await sidecar.__aenter__()
    assert _is_free(sidecar.http_port)
    assert not (tmp_path / "hub.db").exists()


async def test_a_store_in_use_fails_the_start_and_lets_the_ports_go(
    new_sidecar: SidecarFactory,
) -> None:
    async with new_sidecar():
        second = new_sidecar()
        with pytest.raises(BackendLockedError):
            await second.__aenter__()
        assert _is_free(second.http_port)
        assert _is_free(second.grpc_port)


async def test_a_wrong_configuration_fails_the_start(
    new_sidecar: SidecarFactory, tmp_path: Path
) -> None:
    sidecar = new_sidecar()
    (tmp_path / "config.yaml").write_text("kind: [")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        await sidecar.__aenter__()


async def test_the_state_components_of_its_application_are_known(
    new_sidecar: SidecarFactory, tmp_path: Path
) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "a.yaml").write_text(
        "kind: Component\nmetadata: {name: mine}\nspec: {type: state.redis}\nscopes: [shop]\n"
        "---\nkind: Component\nmetadata: {name: theirs}\nspec: {type: state.redis}\nscopes: [x]\n"
    )
    async with new_sidecar(resource_paths=(tmp_path / "components",)) as sidecar:
        assert [component.name for component in sidecar.components] == ["mine"]
    with pytest.raises(ConfigError, match="gone"):
        await new_sidecar(resource_paths=(tmp_path / "gone",)).__aenter__()


async def test_limits_over_all_sidecars_are_refused_where_the_backend_has_none(
    new_sidecar: SidecarFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = replace(CAPABILITIES, limits=Support(SupportLevel.NONE, "not counted here"))
    monkeypatch.setattr(SqliteBackend, "capabilities", lacking)
    sidecar = new_sidecar(more="activityConcurrencyLimits: [{name: ship, maxConcurrent: 1}]")
    with pytest.raises(ConfigError, match=r"yaml:8: .*activityConc.*'sqlite'.*not counted here"):
        await sidecar.__aenter__()
    assert not (tmp_path / "hub.db").exists()
    async with new_sidecar() as unlimited:
        assert unlimited.is_ready


async def test_a_stop_requested_before_the_start_is_over_ends_the_start(
    new_sidecar: SidecarFactory,
) -> None:
    sidecar = new_sidecar()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:

        async def live() -> bool:
            async with sidecar:
                await sidecar.wait_for_stop()
                return sidecar.is_ready

        life = tasks.create_task(live())
        await asyncio.sleep(0)
        sidecar.request_stop("changed my mind")
    assert life.result() is False
    assert _is_free(sidecar.http_port)


async def test_a_shutdown_over_http_ends_the_wait(new_sidecar: SidecarFactory) -> None:
    async with new_sidecar() as sidecar, asyncio.timeout(30), httpx2.AsyncClient() as http:
        response = await http.post(f"http://127.0.0.1:{sidecar.http_port}/v1.0/shutdown")
        assert response.status_code == 204
        await sidecar.wait_for_stop()


async def test_an_api_token_guards_both_servers(new_sidecar: SidecarFactory) -> None:
    async with (
        new_sidecar(api_token="s3cret") as sidecar,
        httpx2.AsyncClient() as http,
        channel_to(sidecar) as channel,
    ):
        url = f"http://127.0.0.1:{sidecar.http_port}/v1.0/metadata"
        assert (await http.get(url)).status_code == 401
        hello = channel.unary_unary(f"{SERVICE}/Hello")
        with pytest.raises(grpc.aio.AioRpcError, match="Unauthorized"):
            await hello(b"")
        assert await hello(b"", metadata=(("dapr-api-token", "s3cret"),)) == b""
