"""What comes over the wire and is no proper call: it is refused, and nobody else notices."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import grpc
import pytest
from durahub.protocol import messages as pb

from tests.e2e.client import Client
from tests.e2e.stack import Stack

LARGEST_MESSAGE_BYTES = 4 * 1024 * 1024
ANSWER_S = 20.0

Send = Callable[[str, bytes], bytes]


@pytest.fixture
def channel(stack: Stack) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{stack.sidecar.grpc_port}") as channel:
        yield channel


@pytest.fixture
def send(channel: grpc.Channel) -> Send:
    def send(method: str, request: bytes) -> bytes:
        answer: bytes = channel.unary_unary(f"/TaskHubSidecarService/{method}")(
            request, timeout=ANSWER_S
        )
        return answer

    return send


@pytest.fixture
def undisturbed(stack: Stack) -> Iterator[None]:
    """Calls and streams that are open before the test, and have to get through it."""
    client = stack.sync
    workers = stack.sidecar.connected_workers
    instance_id = client.start("listener", 1)
    waiting: Future[object] = client.submit(
        "wait_for_workflow_completion", instance_id, timeout_in_seconds=30
    )
    yield
    assert not waiting.done()
    client.tell(instance_id, "go", 1)
    assert waiting.result(ANSWER_S)
    assert stack.sidecar.connected_workers == workers


def refusal(send: Send, method: str, request: bytes) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        send(method, request)
    return refused.value


UNARY_METHODS = (
    "StartInstance",
    "GetInstance",
    "WaitForInstanceStart",
    "WaitForInstanceCompletion",
    "RaiseEvent",
    "TerminateInstance",
    "SuspendInstance",
    "ResumeInstance",
    "PurgeInstances",
    "ListInstanceIDs",
    "GetInstanceHistory",
    "CompleteActivityTask",
    "CompleteOrchestratorTask",
    "CompleteWorkflowTask",
)


@pytest.mark.usefixtures("undisturbed")
def test_bytes_that_are_no_message_are_refused(send: Send) -> None:
    codes = {refusal(send, method, b"\xff\xff\xff").code() for method in UNARY_METHODS}
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}


@pytest.mark.usefixtures("undisturbed")
def test_a_stream_that_is_asked_for_with_no_message_is_refused(channel: grpc.Channel) -> None:
    call = channel.unary_stream("/TaskHubSidecarService/GetWorkItems")
    with pytest.raises(grpc.RpcError) as refused:
        next(call(b"\xff\xff\xff", timeout=ANSWER_S))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.usefixtures("undisturbed")
def test_a_message_that_is_too_large_is_refused(send: Send) -> None:
    request = pb.CreateInstanceRequest(instanceId="large", name="nothing")
    request.input.value = "x" * LARGEST_MESSAGE_BYTES
    refused = refusal(send, "StartInstance", request.SerializeToString())
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("method", ["QueryInstances", "CreateTaskHub", "", "../Hello"])
def test_an_unknown_method_is_refused(send: Send, method: str) -> None:
    assert refusal(send, method, b"").code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("method", ["CompleteActivityTask", "CompleteOrchestratorTask"])
def test_an_answer_to_nothing_is_accepted_and_ignored(send: Send, method: str) -> None:
    response = pb.ActivityResponse(instanceId="nobody", taskId=7)
    send(method, response.SerializeToString() if "Activity" in method else b"\x0a\x01x")


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"\x00" * 1_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1_000,
        # A frame that announces more than it brings.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0xFFFF00)[1:] + b"\x00\x00",
    ],
)
def test_noise_on_the_port_harms_nobody(stack: Stack, noise: bytes) -> None:
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", stack.sidecar.grpc_port)) as connection:
            connection.sendall(noise)


def test_an_input_of_almost_the_largest_size_comes_through(client: Client) -> None:
    text = "x" * (LARGEST_MESSAGE_BYTES * 9 // 10)
    assert client.run("length", text) == len(text)
