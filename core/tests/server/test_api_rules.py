from __future__ import annotations

import logging

import httpx2
import pytest
from durahub.config import ApiRule
from durahub.server.api_rules import ApiRules
from durahub.server.call_log import CallLog
from durahub.server.http_gate import HttpGate
from durahub.server.http_server import MAX_HEADER_BYTES
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

HUB = "/TaskHubSidecarService/StartInstance"
DAPR = "/dapr.proto.runtime.v1.Dapr"
EVERYTHING = (HUB, f"{DAPR}/StartWorkflowBeta1", f"{DAPR}/GetMetadata", f"{DAPR}/Shutdown")


def _rule(name: str, version: str | None = None, protocol: str | None = None) -> ApiRule:
    return ApiRule.model_validate({"name": name, "version": version, "protocol": protocol})


@pytest.mark.parametrize(
    ("allowed", "denied", "there"),
    [
        ([], [], [0, 1, 2, 3]),
        ([_rule("workflows")], [], [0, 1]),
        ([_rule("Workflows", "v1beta1", "grpc")], [], [0, 1]),
        ([_rule("workflows", "v1.0-beta1", "GRPC")], [], [0, 1]),
        ([_rule("workflows", "v1alpha1")], [], [0]),
        ([_rule("workflows", None, "http")], [], []),
        ([_rule("metadata", "v1"), _rule("shutdown")], [], [2, 3]),
        ([_rule("state")], [], []),
        ([], [_rule("workflows")], [2, 3]),
        ([], [_rule("workflows", "v1beta1")], [0, 2, 3]),
        ([], [_rule("workflows", None, "http")], [0, 1, 2, 3]),
        ([], [_rule("shutdown", "v1.0", "grpc")], [0, 1, 2]),
        ([_rule("workflows"), _rule("shutdown")], [_rule("workflows")], [3]),
        ([], [_rule("workflows", "v1alpha1"), _rule("workflows", "v1beta1")], [0, 2, 3]),
        ([], [_rule("workflows", each) for each in ("v1", "v1alpha1", "v1.0-beta1")], [2, 3]),
        ([], [_rule("workflows", "durahub/v1")], [0, 1, 2, 3]),
    ],
)
def test_rules_say_which_rpcs_are_there(
    allowed: list[ApiRule], denied: list[ApiRule], there: list[int]
) -> None:
    rules = ApiRules(allowed, denied)
    assert [i for i, path in enumerate(EVERYTHING) if rules.permits_rpc(path)] == there


def test_what_is_no_part_is_always_there() -> None:
    rules = ApiRules([_rule("state")], [_rule("health"), _rule("healthz")])
    for path in ("/grpc.health.v1.Health/Check", f"{DAPR}/GetState", "/nowhere"):
        assert rules.permits_rpc(path)
    assert rules.permits("healthz", "v1", "http")


async def _statuses(gate: HttpGate, *paths: str) -> list[int]:
    transport = httpx2.ASGITransport(app=gate)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        return [(await http.get(path)).status_code for path in paths]


def _app() -> Starlette:
    async def answer(_request: object) -> PlainTextResponse:
        return PlainTextResponse("there")

    return Starlette(routes=[Route("/{path:path}", answer)])


async def test_a_denied_part_is_not_found_over_http() -> None:
    paths = (
        "/v1.0-beta1/workflows/dapr/canary",
        "/v1.0/workflows/dapr/canary",
        "/v1.0/metadata",
        "/v1.0/shutdown",
        "/v1.0/healthz",
        "/",
        "/durahub/v1/instances",
    )
    for denied, expected in (
        ([_rule("workflows", "v1.0-beta1")], [404, 200, 200, 200, 200, 200, 200]),
        ([_rule("workflows", None, "http")], [404, 404, 200, 200, 200, 200, 404]),
        ([_rule("workflows", "durahub/v1", "http")], [200, 200, 200, 200, 200, 200, 404]),
        (
            [_rule("workflows", each, "http") for each in ("v1.0", "v1.0-alpha1", "v1.0-beta1")],
            [404, 404, 200, 200, 200, 200, 404],
        ),
        ([_rule("workflows", each) for each in ("v1.0", "v1.0-beta1")], [404, 404, *[200] * 5]),
        ([_rule("workflows", None, "grpc")], [200] * 7),
        ([_rule("metadata", "v1"), _rule("shutdown")], [200, 200, 404, 404, 200, 200, 200]),
    ):
        gate = HttpGate(_app(), rules=ApiRules([], denied), calls=CallLog())
        assert await _statuses(gate, *paths) == expected


OWN_PATHS = (
    "/durahub/v1/instances",
    "/durahub/v1/instances/a/terminate",
    "/durahub/v1/instance-counts",
    "/durahub/v1/bulk/purge",
    "/durahub%2Fv1/instances",
    "/durahub/v1/openapi.json",
)


@pytest.mark.parametrize(
    ("allowed", "is_there"),
    [
        ([_rule("workflows")], True),
        ([_rule("workflows", "durahub/v1", "http")], True),
        ([_rule("workflows", "v1.0-beta1")], False),
        ([_rule("workflows", None, "grpc")], False),
        ([_rule("metadata")], False),
    ],
)
async def test_our_own_api_has_to_be_allowed_by_name_or_along_with_all(
    allowed: list[ApiRule], *, is_there: bool
) -> None:
    gate = HttpGate(_app(), rules=ApiRules(allowed, []), calls=CallLog())
    own = 200 if is_there else 404
    assert await _statuses(gate, *OWN_PATHS) == [own] * 5 + [200]


async def test_calls_are_logged_as_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    calls = CallLog()
    gate = HttpGate(_app(), rules=ApiRules(), calls=calls)
    paths = ("/v1.0/workflows/dapr/instance-1", "/v1.0/healthz")
    shown: list[list[str]] = []
    for enabled, obfuscates, omits in ((0, 0, 0), (1, 0, 0), (1, 1, 1)):
        calls.is_enabled, calls.obfuscates, calls.omits_health = (
            bool(enabled),
            bool(obfuscates),
            bool(omits),
        )
        caplog.clear()
        await _statuses(gate, *paths)
        calls.rpc(HUB, "agent")
        calls.rpc("/grpc.health.v1.Health/Check", "agent")
        ours = [r for r in caplog.records if r.name == "durahub.server.calls"]
        shown.append([record.__dict__["method"] for record in ours])
    assert shown == [
        [],
        [f"GET {paths[0]}", f"GET {paths[1]}", HUB, "/grpc.health.v1.Health/Check"],
        ["GET /v1.0/workflows/…", HUB],
    ]


async def test_headers_have_a_limit() -> None:
    gate = HttpGate(_app(), rules=ApiRules(), calls=CallLog())
    most = "y" * (MAX_HEADER_BYTES - 200)
    transport = httpx2.ASGITransport(app=gate)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        assert (await http.get("/", headers={"x": most})).status_code == 200
        assert (await http.get("/", headers={"x": f"{most}{'y' * 200}"})).status_code == 431
        assert (await http.get(f"/{most}{'y' * 200}")).status_code == 431
        assert (await http.get(f"/?{most}{'y' * 200}")).status_code == 431
