"""What there is of Dapr's own API is, field by field, the one of the installed Dapr SDK."""

from __future__ import annotations

from typing import Any

import pytest
from dapr.proto.runtime.v1 import dapr_pb2, workflow_pb2
from durahub.protocol import dapr_messages as dapr
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Type = Descriptor | EnumDescriptor

THEIRS = dapr_pb2.DESCRIPTOR.services_by_name["Dapr"].methods_by_name
OURS = {method.name: method for method in dapr.DAPR_SERVICE.methods}


def name_of(type_: Type) -> str:
    """Return the name without the package, which is another one here."""
    return type_.full_name.removeprefix(f"{type_.file.package}.")


def reachable(methods: Any) -> dict[str, Type]:
    """Return all types of some methods, without Google's."""
    pending: list[Type] = [each for m in methods for each in (m.input_type, m.output_type)]
    found: dict[str, Type] = {}
    while pending:
        each = pending.pop()
        if each.full_name.startswith("google.") or name_of(each) in found:
            continue
        found[name_of(each)] = each
        if isinstance(each, Descriptor):
            held = (field.message_type or field.enum_type for field in each.fields)
            pending += [type_ for type_ in held if type_ is not None]
    return found


def shape(type_: Type) -> dict[str, object]:
    if isinstance(type_, EnumDescriptor):
        return {value.name: value.number for value in type_.values}
    return {field.name: field_shape(field) for field in type_.fields}


def field_shape(field: FieldDescriptor) -> dict[str, object]:
    held = field.message_type or field.enum_type
    return {
        "number": field.number,
        "type": field.type,
        "of": name_of(held) if held else None,
        "json": field.json_name,
        "repeated": field.is_repeated,
        "presence": field.has_presence,
        "options": str(field.GetOptions()),
    }


SDK_TYPES = reachable(THEIRS[name] for name in OURS)


@pytest.mark.parametrize("name", sorted(OURS))
def test_compare_method_with_sdk_finds_it_identical(name: str) -> None:
    ours, theirs = OURS[name], THEIRS[name]
    assert name_of(ours.input_type) == name_of(theirs.input_type)
    assert name_of(ours.output_type) == name_of(theirs.output_type)
    assert not ours.client_streaming
    assert not ours.server_streaming
    assert str(ours.GetOptions()) == str(theirs.GetOptions())


def test_compare_types_with_sdk_finds_the_same_ones() -> None:
    assert set(reachable(OURS.values())) == set(SDK_TYPES)
    assert len(SDK_TYPES) > 25


@pytest.mark.parametrize("name", sorted(SDK_TYPES))
def test_compare_type_with_sdk_finds_it_identical(name: str) -> None:
    assert shape(reachable(OURS.values())[name]) == shape(SDK_TYPES[name])


def test_every_workflow_method_of_the_sdk_is_there() -> None:
    assert {name for name in THEIRS if "Workflow" in name} <= set(OURS)


def test_export_messages_leaves_none_out() -> None:
    types = {name for name in reachable(OURS.values()) if "." not in name}
    assert set(dapr.__all__) == types | {"DAPR_SERVICE", "DAPR_SERVICE_NAME"}


def test_load_beside_sdk_keeps_both_usable() -> None:
    theirs = workflow_pb2.StartWorkflowRequest(instance_id="a", options={"k": "v"}, app_id="b")
    ours = dapr.StartWorkflowRequest.FromString(theirs.SerializeToString())
    assert (ours.instance_id, dict(ours.options), ours.app_id) == ("a", {"k": "v"}, "b")
