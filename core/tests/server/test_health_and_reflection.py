"""What tools and probes ask of a gRPC server, with the libraries that they are made with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
from dapr.proto.runtime.v1 import dapr_pb2
from durahub.server import health_service
from durahub.server.access import AccessControl, token_for_everything
from durahub.server.grpc_transport import GrpcServer
from durahub.server.health_service import health_routes
from durahub.server.reflection import SERVICES, reflection_routes
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from core.tests.server.sidecar_status import Status

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def status() -> Status:
    return Status()


@pytest.fixture
async def server(status: Status, serving: ServerFactory) -> AsyncIterator[GrpcServer]:
    routes = (*health_routes(status, SERVICES), *reflection_routes())
    access = AccessControl([token_for_everything("s3cret")])
    async with serving(*routes, access=access) as server:
        yield server


@pytest.fixture
async def health(server: GrpcServer, connected: ChannelFactory) -> AsyncIterator[Any]:
    async with connected(server) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def test_health_follows_the_sidecar_and_needs_no_token(health: Any, status: Status) -> None:
    for service in ("", *SERVICES):
        request = health_pb2.HealthCheckRequest(service=service)
        assert (await health.Check(request)).status == SERVING
    status.is_ready = False
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING


async def test_health_of_a_service_that_nobody_knows_is_not_found(health: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_tells_of_each_change(
    health: Any, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_service, "WATCH_INTERVAL_S", 0.01)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    status.is_ready = False
    assert (await watch.read()).status == NOT_SERVING
    status.is_ready = True
    assert (await watch.read()).status == SERVING
    unknown = health.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def test_all_services_are_listed(health: Any) -> None:
    statuses = (await health.List(health_pb2.HealthListRequest())).statuses
    assert set(statuses) == {"", *SERVICES}
    assert {each.status for each in statuses.values()} == {SERVING}


def with_token(server: GrpcServer) -> Any:
    class Token(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
        def intercept_stream_stream(self, proceed: Any, details: Any, requests: Any) -> Any:
            details = details._replace(metadata=[("dapr-api-token", "s3cret")])
            return proceed(details, requests)

    channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    return grpc.intercept_channel(channel, Token())


async def test_reflection_shows_the_services_under_the_names_of_the_wire(
    server: GrpcServer,
) -> None:
    def look() -> dict[str, Any]:
        database = ProtoReflectionDescriptorDatabase(with_token(server))
        pool = DescriptorPool(database)
        return {name: pool.FindServiceByName(name) for name in database.get_services()}

    found = await asyncio.to_thread(look)
    assert set(found) == {
        *SERVICES,
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    methods = {each.name: each for each in found["dapr.proto.runtime.v1.Dapr"].methods}
    theirs = dapr_pb2.DESCRIPTOR.services_by_name["Dapr"].methods_by_name
    assert len(methods) == 17
    for name, method in methods.items():
        assert method.input_type.full_name == theirs[name].input_type.full_name
        assert method.output_type.full_name == theirs[name].output_type.full_name
    hub = {each.name: each for each in found["TaskHubSidecarService"].methods}
    assert hub["StartInstance"].input_type.full_name == "CreateInstanceRequest"


async def test_reflection_survives_what_makes_no_sense(
    server: GrpcServer, connected: ChannelFactory
) -> None:
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    request = reflection_pb2.ServerReflectionRequest
    async with connected(server) as channel:
        call = channel.stream_stream(path)(metadata=(("dapr-api-token", "s3cret"),))
        for asked in (request(), request(file_containing_symbol="x"), request(file_by_filename="")):
            await call.write(asked.SerializeToString())
            answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
            assert answer.error_response.error_code
        await call.write(b"\xff")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        call = channel.stream_stream(path)()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
