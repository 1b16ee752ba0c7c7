"""TaskHubSidecarService over gRPC, on an engine in memory: codes and texts as SDKs see them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.server.grpc_transport import GrpcServer
from durahub.server.rpc import CallContext
from durahub.server.taskhub_service import taskhub_routes
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from core.tests.engine import making
from core.tests.engine.hub import finished, running, settled, start, suspend, until
from core.tests.engine.worker import Turn, nothing_to_do, waiting_for, working

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]

SERVICE = "/TaskHubSidecarService"
INPUT = StringValue(value="new")
NOT_RERUNNABLE = (
    "target event '*protos.HistoryEvent_{}' with ID '{}' is not an event that can be rerun"
)
DETACHED = (
    "event '3' is a detached workflow spawn and cannot be rerun: detached spawns are "
    "fire-and-forget and have no replayable continuation in the caller"
)


def one_of_each(turn: Turn) -> list[pb.WorkflowAction]:
    """Do one of everything at once: 0 to 4; and end with 5."""
    if len(turn.resolved) == 3:
        return [making.complete("over", number=5)]
    if turn.past:
        return []
    return [
        making.schedule(0),
        making.sleep(1, making.NOW),
        making.child(2, "child", "Nothing"),
        making.detached(3, "detached", "Nothing"),
        making.send(4, "detached", "hello"),
    ]


FLOWS = {"Flow": one_of_each, "Nothing": nothing_to_do, "Waiting": waiting_for(1)}


class Hub:
    """An engine with a worker, and a channel to its server."""

    def __init__(self, engine: Engine, channel: Any) -> None:
        self.engine = engine
        self.channel = channel

    async def call(self, method: str, request: Message) -> bytes:
        unary = self.channel.unary_unary(f"{SERVICE}/{method}")
        answer: bytes = await unary(request.SerializeToString(), timeout=10)
        return answer

    async def rerun(self, **fields: Any) -> str:
        request = pb.RerunWorkflowFromEventRequest(**fields)
        answer = await self.call("RerunWorkflowFromEvent", request)
        return pb.RerunWorkflowFromEventResponse.FromString(answer).newInstanceID

    async def purge(self, **fields: Any) -> pb.PurgeInstancesResponse:
        answer = await self.call("PurgeInstances", pb.PurgeInstancesRequest(**fields))
        return pb.PurgeInstancesResponse.FromString(answer)


NewHub = Callable[..., AbstractAsyncContextManager[Hub]]


@pytest.fixture
def new_hub(serving: ServerFactory, connected: ChannelFactory) -> NewHub:
    @asynccontextmanager
    async def make(**options: Any) -> AsyncIterator[Hub]:
        async with (
            running(**options) as engine,
            working(engine, FLOWS),
            serving(*taskhub_routes(engine)) as server,
            connected(server) as channel,
        ):
            yield Hub(engine, channel)

    return make


REFUSALS = [
    ({}, "INVALID_ARGUMENT", "rerun workflow source instance ID is required"),
    (
        {"sourceInstanceID": "old", "newInstanceID": "old"},
        "INVALID_ARGUMENT",
        "rerun workflow instance ID must be different from the original instance ID",
    ),
    (
        {"sourceInstanceID": "nobody"},
        "NOT_FOUND",
        "workflow instance does not exist with ID 'nobody'",
    ),
    ({"sourceInstanceID": "busy"}, "INVALID_ARGUMENT", "'busy' is not in a terminal state"),
    ({"sourceInstanceID": "asleep"}, "INVALID_ARGUMENT", "'asleep' is not in a terminal state"),
    (
        {"sourceInstanceID": "child"},
        "INVALID_ARGUMENT",
        "'child': cannot rerun from child-workflows",
    ),
    ({"eventID": 77}, "NOT_FOUND", "does not have history event with ID '77'"),
    (
        {"eventID": 4},
        "NOT_FOUND",
        NOT_RERUNNABLE.format("EventSent", 4),
    ),
    (
        {"eventID": 5, "newInstanceID": "busy"},
        "NOT_FOUND",
        NOT_RERUNNABLE.format("ExecutionCompleted", 5),
    ),
    (
        {"eventID": 1, "input": INPUT, "overwriteInput": True},
        "INVALID_ARGUMENT",
        "cannot write input to timer event '1'",
    ),
    (
        {"eventID": 0, "newChildWorkflowInstanceID": "x"},
        "INVALID_ARGUMENT",
        "cannot set new child workflow instance ID on activity event '0'",
    ),
    (
        {"eventID": 1, "newChildWorkflowInstanceID": "x"},
        "INVALID_ARGUMENT",
        "cannot set new child workflow instance ID on timer event '1'",
    ),
    ({"newInstanceID": "busy"}, "ALREADY_EXISTS", "workflow 'busy' has already been created"),
    ({"newInstanceID": "child"}, "ALREADY_EXISTS", "workflow 'child' has already been created"),
    ({"eventID": 3}, "INVALID_ARGUMENT", DETACHED),
]


async def test_a_rerun_is_refused_in_dapr_s_words(new_hub: NewHub) -> None:
    async with new_hub() as hub:
        await start(hub.engine, "old")
        await finished(hub.engine, "old")
        await start(hub.engine, "busy", "Waiting")
        await start(hub.engine, "asleep", "Waiting")
        await suspend(hub.engine, "asleep")
        before = await hub.call("ListInstanceIDs", pb.ListInstanceIDsRequest())
        for fields, code, text in REFUSALS:
            source = {"sourceInstanceID": "old"} if fields else {}
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await hub.rerun(**{**source, **fields})
            found = (refused.value.code(), refused.value.details())
            assert found == (grpc.StatusCode[code], text), fields
        assert await hub.call("ListInstanceIDs", pb.ListInstanceIDsRequest()) == before


async def test_a_rerun_is_answered_with_the_new_id(new_hub: NewHub) -> None:
    async with new_hub() as hub:
        await start(hub.engine, "old")
        await finished(hub.engine, "old")
        assert await hub.rerun(sourceInstanceID="old", eventID=2, newInstanceID="new") == "new"
        assert (await finished(hub.engine, "new")).output.value == "over"
        assert (await finished(hub.engine, "new:0002")).parentInstanceId.value == "new"
        assert await hub.rerun(sourceInstanceID="old", eventID=0)


async def test_a_purge_by_filter_is_answered_with_the_count(new_hub: NewHub) -> None:
    async with new_hub() as hub:
        for number in range(5):
            await start(hub.engine, str(number), "Nothing")
        await start(hub.engine, "busy", "Waiting")
        completed = pb.PurgeInstanceFilter(runtimeStatus=[pb.ORCHESTRATION_STATUS_COMPLETED])
        failed = pb.PurgeInstanceFilter(runtimeStatus=[pb.ORCHESTRATION_STATUS_FAILED])
        counts = []
        for wanted in (failed, completed, completed, pb.PurgeInstanceFilter()):
            answer = await hub.purge(purgeInstanceFilter=wanted)
            assert answer.isComplete.value is True
            counts.append(answer.deletedInstanceCount)
        assert counts == [0, 5, 0, 0]
        answer = await hub.purge(purgeInstanceFilter=pb.PurgeInstanceFilter(), force=True)
        assert answer.deletedInstanceCount == 1


async def test_a_purge_of_one_does_not_say_whether_it_is_complete(new_hub: NewHub) -> None:
    async with new_hub() as hub:
        await start(hub.engine, "a", "Nothing")
        answer = await hub.purge(instanceId="a")
        assert (answer.deletedInstanceCount, answer.HasField("isComplete")) == (1, False)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await hub.purge(instanceId="a")
        text = "failed to purge workflow state: no such instance exists"
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNKNOWN, text)


async def test_an_idle_worker_that_wants_pings_gets_them(new_hub: NewHub) -> None:
    request = pb.GetWorkItemsRequest(capabilities=[pb.WORKER_CAPABILITY_HEALTH_PING])
    async with new_hub(health_ping=timedelta(seconds=0.05)) as hub:
        stream = hub.channel.unary_stream(f"{SERVICE}/GetWorkItems")(request.SerializeToString())
        async with aclosing(aiter(stream)) as items:
            for _ in range(2):
                item = pb.WorkItem.FromString(await anext(items))
                assert item == pb.WorkItem(healthPing=pb.HealthPing())
        stream.cancel()


async def test_stopping_ends_the_streams_of_javascript_well() -> None:
    async with running() as engine:
        stream = stream_of("grpc-node-js/1.12.6", engine)
        reading = asyncio.ensure_future(anext(stream))
        await until(lambda: engine.connected_workers == 1)
        await engine.close_streams()
        with pytest.raises(StopAsyncIteration):
            await reading
        with pytest.raises(StopAsyncIteration):
            await anext(stream_of("grpc-node-js/1.12.6", engine))


async def test_stopping_ends_other_streams_when_nobody_can_connect_again(
    serving: ServerFactory, connected: ChannelFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "durahub.server")

    def arrived() -> int:
        return caplog.text.count("work item stream established")

    async with (
        running() as engine,
        serving(*taskhub_routes(engine)) as server,
        connected(server) as channel,
    ):
        work_items = channel.unary_stream(f"{SERVICE}/GetWorkItems")
        early = work_items(pb.GetWorkItemsRequest().SerializeToString())
        await until(lambda: engine.connected_workers == 1)
        await engine.close_streams()
        await until(lambda: engine.connected_workers == 0)
        late = work_items(pb.GetWorkItemsRequest().SerializeToString())
        await until(lambda: arrived() == 2)
        await asyncio.sleep(0.2)
        assert not early.done()
        assert not late.done()
        await server.stop(0)
        for stream in (early, late):
            status = (await stream.code(), await stream.details())
            assert status == (grpc.StatusCode.CANCELLED, "shutting down")


def stream_of(agent: str, engine: Engine) -> AsyncGenerator[bytes, None]:
    """Return the work items that a worker gets which calls itself `agent`."""
    (route,) = (r for r in taskhub_routes(engine) if r.path.endswith("/GetWorkItems"))
    caller = CallContext(peer="", metadata={"user-agent": agent}, deadline_s=lambda: None)
    items: AsyncGenerator[bytes, None] = route.handler(pb.GetWorkItemsRequest(), caller)
    return items


@pytest.mark.parametrize(
    ("agent", "most"),
    [
        ("dapr-js-sdk/workflow grpc-node-js/1.14.7", 10),
        ("durabletask-js grpc-node-js/1.14.7", 30),
        ("grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)", 30),
    ],
)
async def test_a_worker_that_drops_what_is_too_much_is_given_less(agent: str, most: int) -> None:
    async with running() as engine:
        given: list[bytes] = []

        async def take() -> None:
            async with aclosing(stream_of(agent, engine)) as items:
                async for item in items:
                    given.append(item)  # noqa: PERF401 - looked at while it grows

        async with asyncio.TaskGroup() as group:
            worker = group.create_task(take())
            await until(lambda: engine.connected_workers == 1)
            starts = [group.create_task(start(engine, str(number))) for number in range(30)]
            await until(lambda: len(given) == most)
            await settled()
            assert len(given) == most
            for task in (*starts, worker):
                task.cancel()
