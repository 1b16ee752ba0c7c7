"""Activities and turns that last until a test lets them go on."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.flows import Workflow, decide
from tests.parity.worker import echo

RequestT = TypeVar("RequestT", pb.ActivityRequest, pb.WorkflowRequest)


class _Gate(Generic[RequestT]):
    def __init__(self) -> None:
        self.begun: list[RequestT] = []
        self._released = asyncio.Event()

    async def pass_through(self, request: RequestT) -> None:
        self.begun.append(request)
        await self._released.wait()

    def release(self) -> None:
        """Let all go on, and those to come."""
        self._released.set()

    async def until_begun(self, count: int = 1) -> None:
        """Return when so many have begun."""
        await until(lambda: len(self.begun) >= count, ANSWER_S)


class Held(_Gate[pb.ActivityRequest]):
    """An activity that waits; its result is its input.

    Attributes:
        begun: The requests that it was called with.
    """

    async def __call__(self, request: pb.ActivityRequest) -> str | None:
        await self.pass_through(request)
        return await echo(request)


class HeldTurns(_Gate[pb.WorkflowRequest]):
    """Turns of `Flow` that wait; for `Worker.raw`.

    Attributes:
        begun: The requests to take a turn.
    """

    def __init__(self, flow: Workflow) -> None:
        super().__init__()
        self._flow = flow

    async def __call__(self, request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        await self.pass_through(request)
        return decide(request, request.pastEvents, {"Flow": self._flow})
