"""gRPC server reflection: tells tools which services there are, under the names that they have on the wire.

In this process the protocol lives in packages of our own, beside which an SDK's copy has room. So tools
get copies of the descriptors in a pool of their own, with the packages of the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from durahub.protocol import dapr_messages as dapr
from durahub.protocol import messages as pb
from durahub.server.health_service import HEALTH_SERVICE
from durahub.server.rpc import CallContext, DialogueRoute, Route

SERVICES = (pb.SIDECAR_SERVICE.name, dapr.DAPR_SERVICE_NAME, HEALTH_SERVICE)
"""The services that are served, beside reflection itself."""

_REFLECTION = "ServerReflection"
_STAGES = ("v1", "v1alpha")
"""Both have the same messages."""

_PACKAGES = {"durahub.protocol.v1": "", "durahub.protocol.dapr.v1": "dapr.proto.runtime.v1"}
_PACKAGES_V1 = {"grpc.reflection.v1alpha": "grpc.reflection.v1"}


def reflection_routes() -> Sequence[Route[Any]]:
    """Return the routes of both stages of the service."""
    names = [f"grpc.reflection.{stage}.{_REFLECTION}" for stage in _STAGES]
    files: tuple[Any, ...] = (
        pb.SIDECAR_SERVICE.file,
        dapr.DAPR_SERVICE.file,
        health_pb2.DESCRIPTOR,
        reflection_pb2.DESCRIPTOR,
    )
    # Its stubs say that it returns a coroutine.
    servicer: Any = aio.ReflectionServicer((*SERVICES, *names), _wire_pool(files))

    async def answer(
        requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], _: CallContext
    ) -> AsyncIterator[bytes]:
        async for response in servicer.ServerReflectionInfo(requests, None):
            yield response.SerializeToString()

    return [
        DialogueRoute(
            f"/{name}/ServerReflectionInfo", reflection_pb2.ServerReflectionRequest, answer
        )
        for name in names
    ]


def _wire_pool(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Return a pool with these files, and all that they import, as they are on the wire."""
    pool = DescriptorPool()
    added: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        pool.AddSerializedFile(_on_the_wire(file, _PACKAGES).SerializeToString())

    for file in files:
        add(file)
    later_stage = _on_the_wire(reflection_pb2.DESCRIPTOR, _PACKAGES_V1)
    later_stage.name = "grpc/reflection/v1/reflection.proto"
    pool.AddSerializedFile(later_stage.SerializeToString())
    return pool


def _on_the_wire(file: Any, packages: Mapping[str, str]) -> FileDescriptorProto:
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    copy.package = packages.get(copy.package, copy.package)
    for message in copy.message_type:
        _rename_types(message, packages)
    for service in copy.service:
        for method in service.method:
            method.input_type = _wire_type(method.input_type, packages)
            method.output_type = _wire_type(method.output_type, packages)
    return copy


def _rename_types(message: DescriptorProto, packages: Mapping[str, str]) -> None:
    for field in message.field:
        if not field.type_name:
            continue  # a scalar
        field.type_name = _wire_type(field.type_name, packages)
    for nested in message.nested_type:
        _rename_types(nested, packages)


def _wire_type(name: str, packages: Mapping[str, str]) -> str:
    """Return the name of a type, with its leading dot, on the wire."""
    for ours, theirs in packages.items():
        if name.startswith(f".{ours}."):
            return (
                f".{theirs}{name.removeprefix(f'.{ours}')}"
                if theirs
                else name.removeprefix(f".{ours}")
            )
    return name
