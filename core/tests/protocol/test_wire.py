"""The protocol is, field by field, the one of the installed Dapr SDK."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from dapr.ext.workflow._durabletask.internal import (
    history_events_pb2,
    orchestration_pb2,
    orchestrator_actions_pb2,
    orchestrator_service_pb2,
)
from durahub.protocol import messages as pb
from durahub.protocol.generated import (
    actions_pb2,
    attestation_pb2,
    client_pb2,
    history_pb2,
    service_pb2,
    storage_pb2,
    work_pb2,
    workflow_pb2,
)
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

Types = dict[str, Descriptor | EnumDescriptor]

SDK_FILES = (
    orchestration_pb2.DESCRIPTOR,
    history_events_pb2.DESCRIPTOR,
    orchestrator_actions_pb2.DESCRIPTOR,
    orchestrator_service_pb2.DESCRIPTOR,
)
OUR_FILES = (
    actions_pb2.DESCRIPTOR,
    attestation_pb2.DESCRIPTOR,
    client_pb2.DESCRIPTOR,
    history_pb2.DESCRIPTOR,
    service_pb2.DESCRIPTOR,
    work_pb2.DESCRIPTOR,
    workflow_pb2.DESCRIPTOR,
)
SDK_SERVICE = orchestrator_service_pb2.DESCRIPTOR.services_by_name["TaskHubSidecarService"]


def wire_name(descriptor: Descriptor | EnumDescriptor) -> str:
    """Return the name without our package: the SDK has none, Google's types keep theirs."""
    return descriptor.full_name.removeprefix("durahub.protocol.v1.")


def declared_in(files: tuple[FileDescriptor, ...]) -> Types:
    found: Types = {}
    for file in files:
        for declared in (file.message_types_by_name, file.enum_types_by_name):
            found |= {wire_name(each): each for each in declared.values()}
    return found


def with_reachable(types: Types) -> Types:
    """Return `types` and whatever their fields hold, however deep; without Google's."""
    found: Types = {}
    pending = list(types.values())
    while pending:
        each = pending.pop()
        if wire_name(each) in found or each.full_name.startswith("google."):
            continue
        found[wire_name(each)] = each
        if isinstance(each, Descriptor):
            held = (field.message_type or field.enum_type for field in each.fields)
            pending += [type_ for type_ in held if type_ is not None]
            pending += [*each.nested_types, *each.enum_types]
    return found


def served_by(service: Any) -> Types:
    used = [each for m in service.methods for each in (m.input_type, m.output_type)]
    return with_reachable({wire_name(each): each for each in used})


def shape(each: Descriptor | EnumDescriptor) -> dict[str, object]:
    """Return everything about a type that shows on the wire or in generated code."""
    if isinstance(each, EnumDescriptor):
        declared = EnumDescriptorProto()
        each.CopyToProto(declared)
        # The ends of ranges are inclusive in enums and exclusive in messages.
        reserved = {n for r in declared.reserved_range for n in range(r.start, r.end + 1)}
        contents: dict[str, object] = {value.name: value.number for value in each.values}
    else:
        declared = DescriptorProto()
        each.CopyToProto(declared)
        reserved = {n for r in declared.reserved_range for n in range(r.start, r.end)}
        contents = {field.name: field_shape(field) for field in each.fields}
        contents["oneofs"] = {oneof.name for oneof in each.oneofs}
    return contents | {
        "kind": type(each).__name__,
        "reserved": reserved,
        "reserved names": set(declared.reserved_name),
        "options": str(declared.options),
    }


def field_shape(field: FieldDescriptor) -> dict[str, object]:
    held = field.message_type or field.enum_type
    return {
        "number": field.number,
        "type": field.type,
        "of": wire_name(held) if held else None,
        "repeated": field.is_repeated,
        "required": field.is_required,
        "packed": field.is_packed,
        "presence": field.has_presence,
        "oneof": field.containing_oneof.name if field.containing_oneof else None,
        "default": field.default_value if not held else None,
        "options": str(field.GetOptions()),
    }


SDK_TYPES = with_reachable(declared_in(SDK_FILES))
OUR_TYPES = with_reachable(declared_in(OUR_FILES))


def test_compare_types_with_sdk_finds_none_missing_and_none_extra() -> None:
    assert len(SDK_TYPES) > 70
    assert set(OUR_TYPES) == set(SDK_TYPES)


@pytest.mark.parametrize("name", sorted(SDK_TYPES))
def test_compare_type_with_sdk_finds_it_identical(name: str) -> None:
    assert shape(OUR_TYPES[name]) == shape(SDK_TYPES[name])


def test_compare_reachable_types_with_sdk_finds_the_same() -> None:
    # Needed by the next test: what the service cannot reach might be absent from it unnoticed.
    assert set(served_by(pb.SIDECAR_SERVICE)) == set(served_by(SDK_SERVICE))
    ours = with_reachable({"HistoryEvent": pb.HistoryEvent.DESCRIPTOR})
    theirs = with_reachable({"HistoryEvent": history_events_pb2.HistoryEvent.DESCRIPTOR})
    assert set(ours) == set(theirs)


def test_compare_service_with_sdk_finds_same_methods() -> None:
    def methods(service: Any) -> dict[str, tuple[object, ...]]:
        return {
            m.name: (
                wire_name(m.input_type),
                wire_name(m.output_type),
                m.client_streaming,
                m.server_streaming,
                str(m.GetOptions()),
            )
            for m in service.methods
        }

    assert pb.SIDECAR_SERVICE.name == SDK_SERVICE.full_name
    assert methods(pb.SIDECAR_SERVICE) == methods(SDK_SERVICE)
    assert len(SDK_SERVICE.methods) == 17


def test_declare_storage_adds_only_the_event_batch() -> None:
    assert set(declared_in((storage_pb2.DESCRIPTOR,))) == {"EventBatch"}
    events, forked = pb.EventBatch.DESCRIPTOR.fields
    assert (events.number, events.is_repeated) == (1, True)
    assert events.message_type is pb.HistoryEvent.DESCRIPTOR
    assert (forked.name, forked.number, forked.is_repeated) == ("forked", 2, False)
    assert forked.type == FieldDescriptor.TYPE_BOOL


def test_export_messages_leaves_none_out() -> None:
    declared = declared_in((*OUR_FILES, storage_pb2.DESCRIPTOR))
    values = {v.name for e in declared.values() if isinstance(e, EnumDescriptor) for v in e.values}
    assert set(pb.__all__) == {*declared, *values, "SIDECAR_SERVICE"}


def test_load_beside_sdk_keeps_both_usable() -> None:
    theirs = history_events_pb2.HistoryEvent(
        eventId=-1,
        timerCreated=history_events_pb2.TimerCreatedEvent(
            name="late",
            externalEvent=history_events_pb2.TimerOriginExternalEvent(name="approval"),
        ),
        router=orchestration_pb2.TaskRouter(sourceAppID="app"),
    )
    ours = pb.HistoryEvent.FromString(theirs.SerializeToString())
    assert ours.timerCreated.externalEvent.name == "approval"
    assert history_events_pb2.HistoryEvent.FromString(ours.SerializeToString()) == theirs


def test_import_protocol_loads_neither_sdk_nor_rpc_library() -> None:
    program = (
        "import sys, durahub.protocol.frames, durahub.protocol.messages, durahub.protocol.times\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {"durahub", "google"} <= loaded
    assert not loaded & {"dapr", "durabletask", "grpc", "grpc_tools"}
