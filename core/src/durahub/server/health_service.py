"""`grpc.health.v1.Health`: whether a sidecar is ready, for probes that speak gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from durahub.server.rpc import CallContext, Route, RpcError, StatusCode, StreamRoute, UnaryRoute
from durahub.server.status import SidecarStatus

HEALTH_SERVICE = "grpc.health.v1.Health"
WATCH_INTERVAL_S = 1.0
"""How often a watched sidecar is looked at; a change is told at most this much later."""

_Response = health_pb2.HealthCheckResponse
_messages: Any = health_pb2  # the stubs know nothing of List


def health_routes(status: SidecarStatus, services: Sequence[str]) -> Sequence[Route[Any]]:
    """Return the routes of the service.

    Args:
        status: The sidecar.
        services: Names of services that may be asked about, beside the sidecar as a whole; all are as
            healthy as it is.
    """
    health = _Health(status, frozenset(("", *services)))
    return [
        UnaryRoute(f"/{HEALTH_SERVICE}/Check", health_pb2.HealthCheckRequest, health.check),
        StreamRoute(f"/{HEALTH_SERVICE}/Watch", health_pb2.HealthCheckRequest, health.watch),
        UnaryRoute(f"/{HEALTH_SERVICE}/List", _messages.HealthListRequest, health.list_all),
    ]


class _Health:
    def __init__(self, status: SidecarStatus, services: frozenset[str]) -> None:
        self._status = status
        self._services = services

    async def check(
        self, request: health_pb2.HealthCheckRequest, _: CallContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            raise RpcError(StatusCode.NOT_FOUND, "unknown service")
        return self._answer()

    async def watch(
        self, request: health_pb2.HealthCheckRequest, _: CallContext
    ) -> AsyncIterator[bytes]:
        last = None
        while True:
            is_known = request.service in self._services
            answer = self._answer() if is_known else _Response(status=_Response.SERVICE_UNKNOWN)
            if answer != last:
                last = answer
                yield answer.SerializeToString()
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def list_all(self, _request: Message, _: CallContext) -> Message:
        statuses = {service: self._answer() for service in sorted(self._services)}
        response: Message = _messages.HealthListResponse(statuses=statuses)
        return response

    def _answer(self) -> health_pb2.HealthCheckResponse:
        is_ready = self._status.is_ready
        return _Response(status=_Response.SERVING if is_ready else _Response.NOT_SERVING)
