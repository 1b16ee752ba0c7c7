from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator

import httpx2
import pytest
from durahub.clock import SystemClock
from durahub.engine import Engine, EngineOptions
from durahub.errors import StartupError
from durahub.server.access import AccessControl, token_for_everything
from durahub.server.http_app import build_http_app
from durahub.server.http_server import MAX_HEADER_BYTES, HttpServer
from durahub.server.listening import LOOPBACK, usable_addresses
from durahub.server.metadata import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, Metadata
from durahub.testing import MemoryBackend, MemorySettings
from starlette.applications import Starlette

from core.tests.engine.making import APP
from core.tests.server.sidecar_status import Status


def app_of(status: Status, access: AccessControl | None = None) -> Starlette:
    """Return the API of a sidecar whose engine has not started."""
    engine = Engine(MemoryBackend(MemorySettings()), EngineOptions(app_id=APP), SystemClock())
    return build_http_app(
        status,
        engine.client,
        Metadata(status),
        access=access or AccessControl(),
        max_body_bytes=1_000_000,
    )


@pytest.fixture
def status() -> Status:
    return Status()


@pytest.fixture
async def client(status: Status) -> AsyncIterator[httpx2.AsyncClient]:
    server = HttpServer(app_of(status), hosts=usable_addresses(LOOPBACK), port=0)
    async with server, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client


@pytest.mark.parity("sharp/39", on="any")
@pytest.mark.parametrize(
    "path", ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/healthz?appid=shop"]
)
async def test_health_is_204_without_body_when_ready(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.content) == (204, b"")


async def test_health_is_500_with_a_code_when_not_ready(
    client: httpx2.AsyncClient, status: Status
) -> None:
    status.is_ready = False
    response = await client.get("/v1.0/healthz")
    assert response.status_code == 500
    assert response.json() == {
        "errorCode": "ERR_HEALTH_NOT_READY",
        "message": "durahub is not ready",
    }
    # The store being away for a moment is no reason to hold back a client's start.
    assert (await client.get("/v1.0/healthz/outbound")).status_code == 204


async def test_outbound_health_is_500_with_a_code_when_not_serving(
    client: httpx2.AsyncClient, status: Status
) -> None:
    status.is_serving = status.is_ready = False
    response = await client.get("/v1.0/healthz/outbound")
    assert response.status_code == 500
    assert response.json()["errorCode"] == "ERR_OUTBOUND_HEALTH_NOT_READY"


async def test_health_for_another_app_is_an_error(client: httpx2.AsyncClient) -> None:
    response = await client.get("/v1.0/healthz?appid=other")
    assert response.status_code == 500
    assert "'shop', not 'other'" in response.json()["message"]


async def test_metadata_tells_app_build_backend_and_workers(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/v1.0/metadata")).json()
    assert document["id"] == "shop"
    assert document["runtimeVersion"] == "1.2.3"
    assert document["extended"] == {"daprRuntimeVersion": "1.2.3"}
    assert document["actorRuntime"] == {
        "runtimeStatus": "RUNNING",
        "activeActors": [],
        "hostReady": True,
        "placement": "",
    }
    assert document["workflows"] == {"connectedWorkers": 2}
    assert document["durahub"] == {
        "edition": "oss",
        "version": "1.2.3",
        "backend": {"type": "sqlite", "distribution": "durahub-sqlite", "version": "1.2.4"},
        "decisions": {"admitted": 2, "conflict": 1},
        "parked": {"damaged": 3, "patchMismatch": 0},
    }


async def test_attributes_that_clients_put_show_up_in_metadata(client: httpx2.AsyncClient) -> None:
    for value in ("first", "python app.py --größe"):
        response = await client.put("/v1.0/metadata/appCommand", content=value.encode())
        assert response.status_code == 204
    await client.put("/v1.0/metadata/cliPID", content=b"17")
    extended = (await client.get("/v1.0/metadata")).json()["extended"]
    assert extended["appCommand"] == "python app.py --größe"
    assert extended["cliPID"] == "17"


async def test_attributes_are_bounded(client: httpx2.AsyncClient) -> None:
    too_large = await client.put("/v1.0/metadata/k", content=b"x" * (MAX_ATTRIBUTE_BYTES + 1))
    assert too_large.status_code == 413
    for number in range(MAX_ATTRIBUTES):
        assert (await client.put(f"/v1.0/metadata/{number}", content=b"")).status_code == 204
    assert (await client.put("/v1.0/metadata/one-more", content=b"")).status_code == 400
    assert (await client.put("/v1.0/metadata/7", content=b"again")).status_code == 204


async def test_shutdown_is_204_and_requests_a_stop(
    client: httpx2.AsyncClient, status: Status
) -> None:
    assert (await client.post("/v1.0/shutdown")).status_code == 204
    assert status.stops == ["shutdown requested over HTTP"]


@pytest.mark.parametrize(
    ("verb", "path", "code", "error_code"),
    [
        ("GET", "/v1.0/nope", 404, "ERR_NOT_FOUND"),
        ("GET", "/", 404, "ERR_NOT_FOUND"),
        ("POST", "/v1.0/healthz", 405, "ERR_METHOD_NOT_ALLOWED"),
        ("GET", "/v1.0/shutdown", 405, "ERR_METHOD_NOT_ALLOWED"),
    ],
)
async def test_unknown_routes_and_verbs_are_json_errors(
    client: httpx2.AsyncClient, verb: str, path: str, code: int, error_code: str
) -> None:
    response = await client.request(verb, path)
    assert response.status_code == code
    assert response.json()["errorCode"] == error_code
    assert f"{verb} {path}" in response.json()["message"]
    assert ("allow" in response.headers) == (code == 405)


@pytest.mark.parity("sharp/39", on="any")
async def test_with_a_token_everything_but_health_needs_it(status: Status) -> None:
    app = app_of(status, AccessControl([token_for_everything("s3cret")]))
    async with (
        HttpServer(app, hosts=("127.0.0.1",), port=0) as server,
        httpx2.AsyncClient() as client,
    ):
        base = f"http://127.0.0.1:{server.port}/v1.0"
        assert (await client.get(f"{base}/healthz")).status_code == 204
        assert (await client.get(f"{base}/healthz/outbound")).status_code == 204
        for headers in ({}, {"dapr-api-token": "wrong"}):
            refused = await client.get(f"{base}/metadata", headers=headers)
            assert (refused.status_code, refused.text) == (401, "invalid api token")
            assert (await client.post(f"{base}/shutdown", headers=headers)).status_code == 401
        admitted = await client.get(f"{base}/metadata", headers={"dapr-api-token": "s3cret"})
        assert admitted.status_code == 200
    assert not status.stops


@pytest.mark.parity("sharp/37", on="any")
async def test_every_loopback_address_is_served(status: Status) -> None:
    hosts = usable_addresses(LOOPBACK)
    async with HttpServer(app_of(status), hosts=hosts, port=0) as server:
        for host in hosts:
            reader, writer = await asyncio.open_connection(host, server.port)
            writer.write(b"GET /v1.0/healthz HTTP/1.0\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            writer.close()


async def test_a_port_in_use_is_refused_with_the_flag(status: Status) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartupError, match=rf"port {port} is in use .*--dapr-http-port"):
            await HttpServer(app_of(status), hosts=("127.0.0.1",), port=port).__aenter__()


async def test_it_leaves_signals_alone_and_the_port_when_it_stops(status: Status) -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with HttpServer(app_of(status), hosts=("127.0.0.1",), port=0) as server:
        assert signal.getsignal(signal.SIGTERM) is before
    with socket.create_server(("127.0.0.1", server.port)):
        pass


async def test_an_error_of_the_block_passes_through_as_it_is(status: Status) -> None:
    with pytest.raises(StartupError, match=r"^mine$"):
        async with HttpServer(app_of(status), hosts=("127.0.0.1",), port=0):
            raise StartupError("mine")


async def test_headers_have_a_limit(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/v1.0/healthz", headers={"x": "y" * 8_000})).status_code == 204
    try:
        response = await client.get("/v1.0/healthz", headers={"x": "y" * 100 * MAX_HEADER_BYTES})
        assert response.status_code == 400
    except httpx2.TransportError:
        pass  # the server did not wait for the rest
    assert (await client.get("/v1.0/healthz")).status_code == 204
