"""dapr.proto.runtime.v1.Dapr over a real socket, with the SDK's own messages and stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio
import pytest
from dapr.proto.runtime.v1 import dapr_pb2, dapr_pb2_grpc, metadata_pb2, workflow_pb2
from durahub.engine import Engine
from durahub.server.access import AccessControl, Caller, Token
from durahub.server.dapr_service import dapr_routes
from durahub.server.grpc_transport import GrpcServer
from durahub.server.metadata import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, Metadata
from durahub.server.operations import OPERATION_OF_RPC, Role, Scope
from durahub.server.unserved import unserved_text

from core.tests.engine.hub import finished, get, running, start, status
from core.tests.engine.worker import nothing_to_do, waiting_for, working
from core.tests.server.sidecar_status import Status

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]

FLOWS: dict[str, Any] = {"Order": nothing_to_do, "Waiting": waiting_for(1), "Secret": nothing_to_do}
STAGES = ("Alpha1", "Beta1")
SERVED = {
    f"{method}Workflow{stage}"
    for method in ("Start", "Get", "Purge", "Terminate", "Pause", "Resume", "RaiseEvent")
    for stage in STAGES
} | {"GetMetadata", "SetMetadata", "Shutdown"}
ALL_METHODS = tuple(dapr_pb2.DESCRIPTOR.services_by_name["Dapr"].methods)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with running() as engine, working(engine, FLOWS):
        yield engine


@pytest.fixture
def sidecar() -> Status:
    return Status()


@pytest.fixture
def access() -> AccessControl:
    return AccessControl()


@pytest.fixture
async def channel(
    engine: Engine,
    sidecar: Status,
    access: AccessControl,
    serving: ServerFactory,
    connected: ChannelFactory,
) -> AsyncIterator[Any]:
    routes = dapr_routes(engine.client, Metadata(sidecar), sidecar)
    async with serving(*routes, access=access) as server, connected(server) as channel:
        yield channel


@pytest.fixture
def dapr(channel: Any) -> Any:
    return dapr_pb2_grpc.DaprStub(channel)  # type: ignore[no-untyped-call]


async def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code().name, refused.value.details() or ""


@pytest.mark.parametrize("stage", STAGES)
async def test_each_stage_takes_a_workflow_through_its_life(
    dapr: Any, engine: Engine, stage: str
) -> None:
    async def call(method: str, **fields: Any) -> Any:
        descriptor = next(each for each in ALL_METHODS if each.name == f"{method}{stage}")
        request = getattr(workflow_pb2, descriptor.input_type.name)(**fields)
        return await getattr(dapr, f"{method}{stage}")(request)

    started = await call("StartWorkflow", workflow_name="Waiting", instance_id="w", input=b"[1]")
    assert started.instance_id == "w"
    await call("PauseWorkflow", instance_id="w", workflow_component="any")
    seen = await call("GetWorkflow", instance_id="w")
    assert (seen.workflow_name, dict(seen.properties)) == (
        "Waiting",
        {"dapr.workflow.input": "[1]"},
    )
    assert seen.created_at.seconds <= seen.last_updated_at.seconds
    await becomes(dapr, "SUSPENDED")
    await call("ResumeWorkflow", instance_id="w")
    await becomes(dapr, "RUNNING")
    await call("RaiseEventWorkflow", instance_id="w", event_name="go", event_data=b'"x"')
    await finished(engine, "w")
    assert (await call("GetWorkflow", instance_id="w")).runtime_status == "COMPLETED"
    await call("TerminateWorkflow", instance_id="w")
    await call("PurgeWorkflow", instance_id="w")
    gone = await call("GetWorkflow", instance_id="w")
    assert gone == workflow_pb2.GetWorkflowResponse(instance_id="w")


async def becomes(dapr: Any, wanted: str) -> None:
    """Wait until the instance `w` has a status."""
    seen = ""
    async with asyncio.timeout(30):
        while seen != wanted:
            request = workflow_pb2.GetWorkflowRequest(instance_id="w")
            seen = (await dapr.GetWorkflowBeta1(request)).runtime_status


@pytest.mark.parity("sharp/31", on="any")
async def test_an_unknown_instance_is_an_empty_answer(dapr: Any) -> None:
    answer = await dapr.GetWorkflowBeta1(workflow_pb2.GetWorkflowRequest(instance_id="nobody"))
    assert answer == workflow_pb2.GetWorkflowResponse(instance_id="nobody")


async def test_a_start_time_is_heeded_and_not_waited_for(dapr: Any, engine: Engine) -> None:
    request = workflow_pb2.StartWorkflowRequest(
        workflow_name="Order", instance_id="later", options={"other": "ignored"}
    )
    request.options["dapr.workflow.start_time"] = "2999-01-01T00:00:00.123456789+02:00"
    await dapr.StartWorkflowBeta1(request)
    state = (await get(engine, "later")).workflowState
    assert await status(engine, "later") == "PENDING"
    start_at = state.scheduledStartTimestamp.ToDatetime()
    assert start_at.isoformat() == "2998-12-31T22:00:00.123457"


async def test_an_id_is_made_up_where_there_is_none(dapr: Any, engine: Engine) -> None:
    started = await dapr.StartWorkflowBeta1(
        workflow_pb2.StartWorkflowRequest(workflow_name="Order")
    )
    assert started.instance_id
    await finished(engine, started.instance_id)


START, GET = workflow_pb2.StartWorkflowRequest, workflow_pb2.GetWorkflowRequest
RAISE, TERMINATE = workflow_pb2.RaiseEventWorkflowRequest, workflow_pb2.TerminateWorkflowRequest
PAUSE, RESUME = workflow_pb2.PauseWorkflowRequest, workflow_pb2.ResumeWorkflowRequest
PURGE = workflow_pb2.PurgeWorkflowRequest


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        ("StartWorkflow", START(), "INVALID_ARGUMENT", "workflow name is not configured"),
        (
            "StartWorkflow",
            START(workflow_name="Order", instance_id="a" * 65),
            "INVALID_ARGUMENT",
            "workflow instance ID exceeds the max length of 64 characters",
        ),
        (
            "StartWorkflow",
            START(workflow_name="Order", instance_id="a/b"),
            "INVALID_ARGUMENT",
            "workflow instance ID 'a/b' is invalid",
        ),
        (
            "StartWorkflow",
            START(workflow_name="Order", app_id="no app"),
            "INVALID_ARGUMENT",
            "invalid app ID 'no app'",
        ),
        (
            "StartWorkflow",
            START(workflow_name="Order", input=b"\xff"),
            "INVALID_ARGUMENT",
            "the input is no UTF-8 text",
        ),
        (
            "StartWorkflow",
            START(workflow_name="Order", options={"dapr.workflow.start_time": "soon"}),
            "INVALID_ARGUMENT",
            "is no RFC 3339 time",
        ),
        (
            "StartWorkflow",
            START(workflow_name="Order", instance_id="busy"),
            "INTERNAL",
            "an active workflow with ID 'busy' already exists",
        ),
        ("GetWorkflow", GET(), "INVALID_ARGUMENT", "no instance ID was provided"),
        (
            "RaiseEventWorkflow",
            RAISE(instance_id="busy"),
            "INVALID_ARGUMENT",
            "missing workflow event",
        ),
        (
            "RaiseEventWorkflow",
            RAISE(instance_id="nobody", event_name="go"),
            "INTERNAL",
            "error raising event on workflow 'nobody': no such instance exists",
        ),
        (
            "TerminateWorkflow",
            TERMINATE(instance_id="nobody"),
            "NOT_FOUND",
            "unable to find workflow with the provided instance ID: nobody",
        ),
        (
            "PurgeWorkflow",
            PURGE(instance_id="nobody"),
            "NOT_FOUND",
            "unable to find workflow with the provided instance ID: nobody",
        ),
        (
            "PurgeWorkflow",
            PURGE(instance_id="busy"),
            "INTERNAL",
            "error purging workflow busy: orchestration has not yet completed",
        ),
        (
            "PauseWorkflow",
            PAUSE(instance_id="nobody"),
            "INTERNAL",
            "error pausing workflow nobody: no such instance exists",
        ),
        (
            "ResumeWorkflow",
            RESUME(instance_id="nobody"),
            "INTERNAL",
            "error resuming workflow nobody: no such instance exists",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused_with_daprs_codes_and_texts(
    dapr: Any, engine: Engine, method: str, request_: Any, code: str, text: str
) -> None:
    await start(engine, "busy", "Waiting")
    for stage in STAGES:
        found = await refusal(getattr(dapr, f"{method}{stage}")(request_))
        assert found[0] == code
        assert text in found[1]


async def test_ids_may_have_letters_of_any_alphabet(dapr: Any, engine: Engine) -> None:
    one = "größe-ж_٣"
    await dapr.StartWorkflowBeta1(START(workflow_name="Order", instance_id=one))
    await finished(engine, one)


async def test_metadata_tells_of_the_sidecar_and_takes_attributes(dapr: Any) -> None:
    await dapr.SetMetadata(metadata_pb2.SetMetadataRequest(key="cliPID", value="17"))
    answer = await dapr.GetMetadata(metadata_pb2.GetMetadataRequest())
    assert (answer.id, answer.runtime_version) == ("shop", "1.2.3")
    assert answer.workflows.connected_workers == 2
    assert answer.actor_runtime.host_ready
    assert dict(answer.extended_metadata) == {
        "daprRuntimeVersion": "1.2.3",
        "cliPID": "17",
        "durahub.edition": "oss",
        "durahub.backend.type": "sqlite",
        "durahub.backend.distribution": "durahub-sqlite",
        "durahub.backend.version": "1.2.4",
        "durahub.backends.decisions": "admitted=2 conflict=1",
    }


async def test_attributes_are_bounded(dapr: Any) -> None:
    put = metadata_pb2.SetMetadataRequest
    assert (await refusal(dapr.SetMetadata(put(value="x"))))[0] == "INVALID_ARGUMENT"
    large = put(key="k", value="x" * MAX_ATTRIBUTE_BYTES)
    assert (await refusal(dapr.SetMetadata(large)))[0] == "INVALID_ARGUMENT"
    for number in range(MAX_ATTRIBUTES):
        await dapr.SetMetadata(put(key=str(number)))
    assert (await refusal(dapr.SetMetadata(put(key="more"))))[0] == "INVALID_ARGUMENT"
    await dapr.SetMetadata(put(key="7", value="again"))


async def test_shutdown_requests_a_stop(dapr: Any, sidecar: Status) -> None:
    await dapr.Shutdown(dapr_pb2.ShutdownRequest())
    assert sidecar.stops == ["shutdown requested over gRPC"]


@pytest.mark.parametrize("descriptor", ALL_METHODS, ids=lambda each: each.name)
async def test_every_other_method_says_what_is_missing(dapr: Any, descriptor: Any) -> None:
    if descriptor.name in SERVED:
        return
    method = getattr(dapr, descriptor.name)
    given = descriptor.input_type._concrete_class()
    call = method(iter([given])) if descriptor.client_streaming else method(given)
    if descriptor.server_streaming:
        call = call.read()
    code, text = await refusal(call)
    assert code == "UNIMPLEMENTED"
    assert f"unknown method {descriptor.name} for service dapr.proto.runtime.v1.Dapr" in text
    assert "Durahub is a sidecar for workflows and has no " in text


async def test_a_method_that_nobody_knows_is_named_too(channel: Any) -> None:
    for path in ("/dapr.proto.runtime.v1.Dapr/Nonsense", "/nobody/Nonsense", "/x"):
        code, text = await refusal(channel.unary_unary(path)(b""))
        assert (code, text) == ("UNIMPLEMENTED", unserved_text(path))
        assert path.rpartition("/")[2] in text


class TestWithTokens:
    """What roles and limits to workflows mean."""

    @pytest.fixture
    def access(self) -> AccessControl:
        limited = Caller(name="orders", roles=frozenset({Role.ADMIN}), workflows=("Order*",))
        return AccessControl(
            [
                Token(secret="orders", caller=limited),
                *(
                    Token(secret=role, caller=Caller(name=role, roles=frozenset({role})))
                    for role in Role
                ),
            ]
        )

    @staticmethod
    def requests(instance_id: str) -> dict[str, Any]:
        known = {
            each.name: each.input_type._concrete_class
            for each in ALL_METHODS
            if each.name in SERVED
        }
        return {
            name: make(instance_id=instance_id) if "Workflow" in name else make()
            for name, make in known.items()
        }

    async def test_each_method_takes_the_roles_that_it_needs(self, dapr: Any) -> None:
        for name, request in self.requests("nobody").items():
            operation = OPERATION_OF_RPC[f"/dapr.proto.runtime.v1.Dapr/{name}"]
            for role in Role:
                call = getattr(dapr, name)(request, metadata=(("dapr-api-token", role),))
                code = (await call.code()).name
                assert (code == "PERMISSION_DENIED") == (role not in operation.roles), name
            for metadata in ((), (("dapr-api-token", "wrong"),)):
                found = await refusal(getattr(dapr, name)(request, metadata=metadata))
                assert found == ("UNAUTHENTICATED", "Unauthorized")

    async def test_of_a_limit_to_workflows_other_instances_are_out(
        self, dapr: Any, engine: Engine
    ) -> None:
        await start(engine, "secret", "Secret")
        metadata = (("dapr-api-token", "orders"),)
        for name, request in self.requests("secret").items():
            if OPERATION_OF_RPC[f"/dapr.proto.runtime.v1.Dapr/{name}"].scope is not Scope.INSTANCE:
                continue
            if isinstance(request, START):
                request.workflow_name = "Order"
            code, text = await refusal(getattr(dapr, name)(request, metadata=metadata))
            assert code == "PERMISSION_DENIED", name
            assert "'orders' is for these workflows only: Order*" in text
            assert "Secret" not in text
        other = dapr.StartWorkflowBeta1(START(workflow_name="Secret"), metadata=metadata)
        assert (await refusal(other))[0] == "PERMISSION_DENIED"
        mine = await dapr.StartWorkflowBeta1(START(workflow_name="Order"), metadata=metadata)
        seen = await dapr.GetWorkflowBeta1(GET(instance_id=mine.instance_id), metadata=metadata)
        assert seen.workflow_name == "Order"

    async def test_an_id_that_no_instance_can_have_is_refused_to_the_limited_too(
        self, dapr: Any
    ) -> None:
        call = dapr.GetWorkflowBeta1(
            GET(instance_id="x" * 5000), metadata=(("dapr-api-token", "orders"),)
        )
        code, text = await refusal(call)
        assert (code, "too long" in text) == ("INVALID_ARGUMENT", True)
