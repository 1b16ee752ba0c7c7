"""Tokens over HTTP: what a role and a limit to workflows mean for each endpoint."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from durahub.engine import Engine
from durahub.server.access import AccessControl, Caller, Token, token_for_everything
from durahub.server.http_app import all_endpoints, build_http_app
from durahub.server.http_endpoint import Endpoint
from durahub.server.http_server import HttpServer
from durahub.server.metadata import Metadata
from durahub.server.operations import Operation, Role, Scope

from core.tests.engine.hub import finished, running, start
from core.tests.engine.worker import nothing_to_do, waiting_for, working
from core.tests.server.sidecar_status import Status

FLOWS: dict[str, Any] = dict.fromkeys(("Order", "OrderLater", "Secret"), nothing_to_do)
FLOWS |= {"OrderWaiting": waiting_for(1), "SecretWaiting": waiting_for(1)}
ENDED, WAITING = "order-ended", "order-waiting"
FOREIGN, FOREIGN_WAITING = "secret-ended", "secret-waiting"
LIMITED = "orders"
BODIES: dict[str, Any] = {
    "instances": {"name": "OrderLater"},
    "events": {"name": "other"},
    "rerun": {"eventID": 0},
    "suspend": {"all": True},
    "resume": {"all": True},
    "terminate": {"all": True},
    "purge": {"all": True},
}


def tokens() -> Sequence[Token]:
    orders = Caller(name=LIMITED, roles=frozenset({Role.ADMIN}), workflows=("Order*",))
    return [
        token_for_everything("all"),
        Token(secret=LIMITED, caller=orders),
        *(Token(secret=role, caller=Caller(name=role, roles=frozenset({role}))) for role in Role),
    ]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with running() as engine, working(engine, FLOWS):
        for instance_id, name in (
            (ENDED, "Order"),
            (WAITING, "OrderWaiting"),
            (FOREIGN, "Secret"),
            (FOREIGN_WAITING, "SecretWaiting"),
        ):
            await start(engine, instance_id, name)
        await finished(engine, ENDED)
        await finished(engine, FOREIGN)
        yield engine


@pytest.fixture
async def http(engine: Engine) -> AsyncIterator[httpx2.AsyncClient]:
    status = Status()
    app = build_http_app(
        status,
        engine.client,
        Metadata(status),
        access=AccessControl(tokens()),
        max_body_bytes=1_000_000,
    )
    async with (
        asyncio.timeout(60),
        HttpServer(app, hosts=("127.0.0.1",), port=0) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        yield client


def endpoints(engine: Engine) -> Sequence[Endpoint]:
    status = Status()
    return all_endpoints(status, engine.client, Metadata(status))


async def send(
    http: httpx2.AsyncClient, endpoint: Endpoint, token: str, instance_id: str = "nobody"
) -> httpx2.Response:
    path = endpoint.path.replace("{instanceID}", instance_id)
    path = re.sub(r"{\w+}", "OrderLater", path)
    headers = {"dapr-api-token": token} if token else {}
    name = path.rpartition("/")[2]
    body = None
    if endpoint.body is not None:
        is_bulk = "/bulk/" in path
        body = (
            BODIES[name]
            if is_bulk or name not in ("suspend", "resume", "terminate", "purge")
            else {}
        )
    return await http.request(endpoint.method, path, headers=headers, json=body)


async def test_each_endpoint_takes_the_roles_that_its_operation_needs(
    http: httpx2.AsyncClient, engine: Engine
) -> None:
    for endpoint in endpoints(engine):
        for role in Role:
            response = await send(http, endpoint, role)
            is_refused = response.status_code == 403
            assert is_refused == (role not in endpoint.operation.roles), (endpoint.path, role)
            if is_refused:
                assert response.json()["errorCode"] == "ERR_PERMISSION_DENIED"
                assert "it needs the role" in response.json()["message"]
        for token in ("", "wrong"):
            response = await send(http, endpoint, token)
            if endpoint.operation.needs_token:
                assert (response.status_code, response.text) == (401, "invalid api token")
            else:
                assert response.status_code == 204


def about_instances(engine: Engine) -> Sequence[Endpoint]:
    return [each for each in endpoints(engine) if "{instanceID}" in each.path]


async def test_of_a_limit_to_workflows_other_instances_are_out(
    http: httpx2.AsyncClient, engine: Engine
) -> None:
    assert len(about_instances(engine)) == 3 * 6 + 9
    for endpoint in about_instances(engine):
        assert endpoint.operation.scope is Scope.INSTANCE
        response = await send(http, endpoint, LIMITED, FOREIGN)
        assert response.status_code == 403, endpoint.path
        text = response.json()["message"]
        assert "'orders' is for these workflows only: Order*" in text
        assert "Secret" not in text
    view = await http.get(f"/durahub/v1/instances/{FOREIGN}", headers={"dapr-api-token": "all"})
    assert view.json()["status"] == "COMPLETED"


async def test_of_a_limit_to_workflows_its_own_instances_are_in(
    http: httpx2.AsyncClient, engine: Engine
) -> None:
    for endpoint in about_instances(engine):
        response = await send(http, endpoint, LIMITED, ENDED)
        assert response.status_code not in (401, 403), endpoint.path


async def test_of_a_limit_to_workflows_others_can_t_be_started_or_replaced(
    http: httpx2.AsyncClient,
) -> None:
    headers = {"dapr-api-token": LIMITED}
    for path, body in (
        ("/v1.0/workflows/dapr/Secret/start", None),
        (f"/v1.0/workflows/dapr/Order/start?instanceID={FOREIGN}", None),
        ("/durahub/v1/instances", {"name": "Secret"}),
        ("/durahub/v1/instances", {"name": "Order", "instanceID": FOREIGN}),
    ):
        response = await http.post(path, json=body, headers=headers)
        assert response.status_code == 403, path


async def test_lists_counts_and_bulk_are_about_what_may_be_seen(http: httpx2.AsyncClient) -> None:
    headers = {"dapr-api-token": LIMITED}
    root = "/durahub/v1"
    listed = (await http.get(f"{root}/instances", headers=headers)).json()["instances"]
    assert [one["instanceID"] for one in listed] == [ENDED, WAITING]
    counts = (await http.get(f"{root}/instance-counts", headers=headers)).json()
    assert counts["byStatus"] == {"COMPLETED": 1, "RUNNING": 1}
    body = {"all": True, "force": True}
    purged = (await http.post(f"{root}/bulk/purge", json=body, headers=headers)).json()
    assert purged["done"] == [ENDED, WAITING]
    left = (await http.get(f"{root}/instances", headers={"dapr-api-token": "all"})).json()
    assert [one["instanceID"] for one in left["instances"]] == [FOREIGN, FOREIGN_WAITING]


async def test_a_forced_purge_needs_an_admin(http: httpx2.AsyncClient) -> None:
    for path, body in (
        (f"/durahub/v1/instances/{WAITING}/purge", {"force": True}),
        ("/durahub/v1/bulk/purge", {"force": True, "all": True}),
    ):
        response = await http.post(path, json=body, headers={"dapr-api-token": Role.OPERATE})
        assert response.status_code == 403
        assert "the role 'admin'" in response.json()["message"]
        response = await http.post(path, json=body, headers={"dapr-api-token": Role.ADMIN})
        assert response.status_code == 200


async def test_an_unknown_path_tells_nothing_without_a_token(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/nope")).status_code == 401
    assert (await http.delete("/v1.0/metadata")).status_code == 401
    known = await http.get("/nope", headers={"dapr-api-token": Role.READ})
    assert known.status_code == 404
    assert Role.READ in Operation.UNSERVED.roles
