"""Tokens on TaskHubSidecarService: what a role and a limit to workflows mean for each method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from durahub.protocol import messages as pb
from durahub.server.access import AccessControl, Caller, Token, token_for_everything
from durahub.server.grpc_transport import GrpcServer
from durahub.server.operations import Role
from durahub.server.taskhub_service import taskhub_routes
from google.protobuf.message import Message

from core.tests.engine.hub import finished, running, start
from core.tests.engine.worker import nothing_to_do, waiting_for, working

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]

SERVICE = "/TaskHubSidecarService"
FLOWS = dict.fromkeys(("Order", "OrderLater", "Secret"), nothing_to_do)
FLOWS |= {"OrderWaiting": waiting_for(1), "SecretWaiting": waiting_for(1)}
ROLES = {
    "worker": (Role.WORKER,),
    "reader": (Role.READ,),
    "operator": (Role.OPERATE,),
    "admin": (Role.ADMIN,),
}
LIMITED = "orders"
ENDED, WAITING = "order-ended", "order-waiting"
FOREIGN, FOREIGN_WAITING = "secret-ended", "secret-waiting"


def _tokens() -> list[Token]:
    orders = Caller(name=LIMITED, roles=frozenset({Role.ADMIN}), workflows=("Order*",))
    return [
        token_for_everything("all"),
        Token(secret=LIMITED, caller=orders),
        *(
            Token(secret=name, caller=Caller(name=name, roles=frozenset(roles)))
            for name, roles in ROLES.items()
        ),
    ]


class Client:
    """Calls with a token."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def call(self, token: str, method: str, request: Message) -> bytes:
        unary = self._channel.unary_unary(f"{SERVICE}/{method}")
        metadata = (("dapr-api-token", token),) if token else ()
        answer: bytes = await unary(request.SerializeToString(), timeout=10, metadata=metadata)
        return answer

    async def refusal(self, token: str, method: str, request: Message) -> tuple[str, str]:
        """Return how a call ended: the name of the code, and the text."""
        try:
            await self.call(token, method, request)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""


@pytest.fixture
def new_client(serving: ServerFactory, connected: ChannelFactory) -> Any:
    @asynccontextmanager
    async def make() -> AsyncIterator[Client]:
        async with (
            running() as engine,
            working(engine, FLOWS),
            serving(*taskhub_routes(engine), access=AccessControl(_tokens())) as server,
            connected(server) as channel,
        ):
            for instance_id, name in (
                (ENDED, "Order"),
                (WAITING, "OrderWaiting"),
                (FOREIGN, "Secret"),
                (FOREIGN_WAITING, "SecretWaiting"),
            ):
                await start(engine, instance_id, name)
            await finished(engine, ENDED)
            await finished(engine, FOREIGN)
            yield Client(channel)

    return make


def _of(instance_id: str) -> dict[str, Message]:
    """Return a request about an instance for each method that is about one."""
    return {
        "GetInstance": pb.GetInstanceRequest(instanceId=instance_id),
        "WaitForInstanceStart": pb.GetInstanceRequest(instanceId=instance_id),
        "WaitForInstanceCompletion": pb.GetInstanceRequest(instanceId=instance_id),
        "GetInstanceHistory": pb.GetInstanceHistoryRequest(instanceId=instance_id),
        "RaiseEvent": pb.RaiseEventRequest(instanceId=instance_id, name="other"),
        "SuspendInstance": pb.SuspendRequest(instanceId=instance_id),
        "ResumeInstance": pb.ResumeRequest(instanceId=instance_id),
        "TerminateInstance": pb.TerminateRequest(instanceId=instance_id),
        "RerunWorkflowFromEvent": pb.RerunWorkflowFromEventRequest(sourceInstanceID=instance_id),
        "PurgeInstances": pb.PurgeInstancesRequest(instanceId=instance_id),
        "StartInstance": pb.CreateInstanceRequest(instanceId=instance_id, name="OrderLater"),
    }


ALLOWED = {
    "Hello": "worker reader operator admin",
    "GetInstance": "reader operator admin",
    "WaitForInstanceStart": "reader operator admin",
    "WaitForInstanceCompletion": "reader operator admin",
    "GetInstanceHistory": "worker reader operator admin",
    "ListInstanceIDs": "reader operator admin",
    "RaiseEvent": "operator admin",
    "SuspendInstance": "operator admin",
    "ResumeInstance": "operator admin",
    "TerminateInstance": "operator admin",
    "RerunWorkflowFromEvent": "operator admin",
    "PurgeInstances": "operator admin",
    "StartInstance": "operator admin",
    "CompleteActivityTask": "worker",
    "CompleteOrchestratorTask": "worker",
    "CompleteWorkflowTask": "worker",
}
OTHERS: dict[str, Message] = {
    "Hello": pb.GetInstanceRequest(),
    "ListInstanceIDs": pb.ListInstanceIDsRequest(),
    "CompleteActivityTask": pb.ActivityResponse(),
    "CompleteOrchestratorTask": pb.WorkflowResponse(),
    "CompleteWorkflowTask": pb.WorkflowResponse(),
}


async def test_each_method_takes_the_roles_that_it_needs(new_client: Any) -> None:
    async with new_client() as client:
        for method, allowed in ALLOWED.items():
            request = {**_of("nobody"), **OTHERS}[method]
            for role in ROLES:
                code, text = await client.refusal(role, method, request)
                is_refused = code == "PERMISSION_DENIED"
                assert is_refused == (role not in allowed.split()), (method, role, code)
                assert ("it needs the role" in text) == is_refused
            for token in ("", "wrong"):
                refusal = await client.refusal(token, method, request)
                assert refusal == ("UNAUTHENTICATED", "Unauthorized")


async def test_only_a_worker_gets_work(new_client: Any) -> None:
    async with new_client() as client:
        request = pb.GetWorkItemsRequest().SerializeToString()
        for token in (*ROLES, "", LIMITED):
            stream = client._channel.unary_stream(f"{SERVICE}/GetWorkItems")(
                request, metadata=(("dapr-api-token", token),), timeout=1
            )
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.read()
            # Of an open stream without work the client has enough some day.
            expected = "PERMISSION_DENIED" if token else "UNAUTHENTICATED"
            expected = "DEADLINE_EXCEEDED" if token == "worker" else expected
            assert refused.value.code().name == expected


async def test_of_a_limit_to_workflows_other_instances_are_out(new_client: Any) -> None:
    async with new_client() as client:
        for method, request in _of(FOREIGN).items():
            code, text = await client.refusal(LIMITED, method, request)
            assert code == "PERMISSION_DENIED", method
            assert "'orders' is for these workflows only: Order*" in text
            assert "Secret" not in text
        await client.call("all", "GetInstanceHistory", _of(FOREIGN)["GetInstanceHistory"])


async def test_of_a_limit_to_workflows_its_own_instances_are_in(new_client: Any) -> None:
    async with new_client() as client:
        for method, request in _of(ENDED).items():
            code, text = await client.refusal(LIMITED, method, request)
            assert code != "PERMISSION_DENIED", (method, text)
        unknown = pb.GetInstanceRequest(instanceId="nobody")
        answer = await client.call(LIMITED, "GetInstance", unknown)
        assert not pb.GetInstanceResponse.FromString(answer).exists


async def test_of_a_limit_to_workflows_others_can_t_be_started(new_client: Any) -> None:
    async with new_client() as client:
        new = pb.CreateInstanceRequest(instanceId="new", name="Secret")
        assert (await client.refusal(LIMITED, "StartInstance", new))[0] == "PERMISSION_DENIED"
        # Nor may one of its own take the place of another's ended run.
        over = pb.CreateInstanceRequest(instanceId=FOREIGN, name="Order")
        assert (await client.refusal(LIMITED, "StartInstance", over))[0] == "PERMISSION_DENIED"


async def test_a_list_shows_what_may_be_seen(new_client: Any) -> None:
    async with new_client() as client:
        for token, expected in (
            ("reader", {ENDED, WAITING, FOREIGN, FOREIGN_WAITING}),
            (LIMITED, {ENDED, WAITING}),
        ):
            seen: list[str] = []
            request = pb.ListInstanceIDsRequest(pageSize=1)
            while True:
                answer = await client.call(token, "ListInstanceIDs", request)
                page = pb.ListInstanceIDsResponse.FromString(answer)
                seen += page.instanceIds
                if not page.HasField("continuationToken"):
                    break
                request.continuationToken = page.continuationToken
            assert (set(seen), len(seen)) == (expected, len(expected))


async def test_a_purge_by_filter_removes_what_may_be_seen(new_client: Any) -> None:
    async with new_client() as client:
        everything = pb.PurgeInstancesRequest(purgeInstanceFilter=pb.PurgeInstanceFilter())
        answer = await client.call(LIMITED, "PurgeInstances", everything)
        assert pb.PurgeInstancesResponse.FromString(answer).deletedInstanceCount == 1
        left = await client.call("reader", "GetInstance", _of(FOREIGN)["GetInstance"])
        assert pb.GetInstanceResponse.FromString(left).exists


async def test_a_forced_purge_needs_an_admin(new_client: Any) -> None:
    async with new_client() as client:
        one = pb.PurgeInstancesRequest(instanceId=WAITING, force=True)
        many = pb.PurgeInstancesRequest(purgeInstanceFilter=pb.PurgeInstanceFilter(), force=True)
        for request in (one, many):
            refused = await client.refusal("operator", "PurgeInstances", request)
            assert refused[0] == "PERMISSION_DENIED"
            assert "the role 'admin'" in refused[1]
        assert (await client.refusal("admin", "PurgeInstances", one))[0] == "OK"
