"""The words in which RPC services are written, whatever carries them.

A service is a sequence of routes. Its handlers take a decoded request and a `CallContext`, return
messages or bytes, and refuse by raising `RpcError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from durahub.server.access import EVERYBODY, Caller

RequestT = TypeVar("RequestT", bound=Message)


class StatusCode(IntEnum):
    """How a call ended; the numbers are those of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """Ends a call with a status; the client sees both attributes as they are.

    Attributes:
        code: Never OK.
        details: For people, and for SDKs that match texts.
    """

    def __init__(self, code: StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


SHUTTING_DOWN = "shutting down"
"""Details of the CANCELLED with which a stopping server ends streams.

A stream that ends normally makes some SDKs connect again in a tight loop.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a handler may know about a call beside the request.

    Attributes:
        peer: The client's address, such as `ipv4:127.0.0.1:40312`.
        metadata: The call's headers, names in lower case; of a repeated name, the last value.
        deadline_s: Returns the seconds left until the client gives up; None if it never does.
        caller: Who calls, as its token makes known.
    """

    peer: str
    metadata: Mapping[str, str | bytes]
    deadline_s: Callable[[], float | None]
    caller: Caller = EVERYBODY

    @property
    def user_agent(self) -> str:
        """How the client calls itself; empty if it does not."""
        value = self.metadata.get("user-agent", "")
        return value if isinstance(value, str) else value.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class UnaryRoute(Generic[RequestT]):
    """One request, one response.

    Attributes:
        path: `/Service/Method`, as on the wire.
        request_type: Message class that requests are decoded with.
        handler: Answers with a message or with its encoding. It is cancelled when the client cancels,
            disconnects, or its deadline passes.
    """

    path: str
    request_type: type[RequestT]
    handler: Callable[[RequestT, CallContext], Awaitable[Message | bytes]]


@dataclass(frozen=True, slots=True)
class StreamRoute(Generic[RequestT]):
    """One request, a stream of responses.

    Attributes:
        path: `/Service/Method`, as on the wire.
        request_type: Message class that requests are decoded with.
        handler: Returns encoded responses. The next one is asked for when the last one was handed to
            the transport, which does not happen while a client does not read. The iterator is closed
            before the call ends, as soon as the client disconnects or the server stops.
    """

    path: str
    request_type: type[RequestT]
    handler: Callable[[RequestT, CallContext], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class DialogueRoute(Generic[RequestT]):
    """A stream of requests, a stream of responses.

    Attributes:
        path: `/Service/Method`, as on the wire.
        request_type: Message class that requests are decoded with.
        handler: Takes the requests as they come, and returns encoded responses as that of a `StreamRoute`.
    """

    path: str
    request_type: type[RequestT]
    handler: Callable[[AsyncIterator[RequestT], CallContext], AsyncIterator[bytes]]


Route: TypeAlias = UnaryRoute[RequestT] | StreamRoute[RequestT] | DialogueRoute[RequestT]
