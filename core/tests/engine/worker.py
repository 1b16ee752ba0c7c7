"""A worker in this process: runs plain functions as workflows, the way an SDK would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from durahub.engine import Engine
from durahub.engine.options import UNLIMITED_IN_FLIGHT
from durahub.engine.state import InstanceState, fold, resolved_wait
from durahub.errors import ShuttingDownError
from durahub.protocol import messages as pb

from . import making
from .hub import until


@dataclass(frozen=True)
class Turn:
    """What a workflow function sees.

    Attributes:
        request: As it arrived.
        past: The committed history in full, whatever the request left out.
    """

    request: pb.WorkflowRequest
    past: Sequence[pb.HistoryEvent]

    @property
    def id(self) -> str:
        return self.request.instanceId

    @property
    def events(self) -> list[pb.HistoryEvent]:
        return [*self.past, *self.request.newEvents]

    @property
    def state(self) -> InstanceState:
        return fold(making.raws(self.events))

    @property
    def start(self) -> pb.ExecutionStartedEvent:
        return next(e.executionStarted for e in self.events if e.HasField("executionStarted"))

    @property
    def input(self) -> str:
        return self.start.input.value

    @property
    def resolved(self) -> dict[int, pb.HistoryEvent]:
        """The resolutions so far by the id of what they resolve."""
        waits = [(resolved_wait(event), event) for event in self.events]
        return {wait.event_id: event for wait, event in waits if wait is not None}

    def raised(self, name: str = "") -> list[str]:
        """Return the data of the external events so far."""
        found = [e.eventRaised for e in self.events if e.HasField("eventRaised")]
        return [event.input.value for event in found if not name or event.name == name]

    def count(self, kind: str) -> int:
        return making.kinds(self.events).count(kind)


Workflow = Callable[[Turn], Sequence[pb.WorkflowAction] | pb.WorkflowResponse]
Activity = Callable[[pb.ActivityRequest], Awaitable[str | None]]


async def echo(request: pb.ActivityRequest) -> str | None:
    return request.input.value if request.HasField("input") else None


@dataclass
class Worker:
    """Serves one stream of an engine.

    Attributes:
        workflows: By name.
        activity: Runs all activities.
        stateful: Whether it keeps histories.
        silent: Take items and answer none.
        items_limit: Most items that it may be given before it answers one.
        items: Everything that it was given.
        most_turns: Most turns at a time.
        most_activities: Most activities at a time.
    """

    engine: Engine
    workflows: Mapping[str, Workflow]
    activity: Activity = echo
    stateful: bool = False
    silent: bool = False
    items_limit: int = UNLIMITED_IN_FLIGHT
    items: list[pb.WorkItem] = field(default_factory=list)
    most_turns: int = 0
    most_activities: int = 0
    turns: int = 0
    activities: int = 0
    cache: dict[str, tuple[str, list[pb.HistoryEvent]]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def requests(self) -> list[pb.WorkflowRequest]:
        return [item.workflowRequest for item in self.items if item.HasField("workflowRequest")]

    @property
    def tasks(self) -> list[pb.ActivityRequest]:
        return [item.activityRequest for item in self.items if item.HasField("activityRequest")]

    def leave(self) -> None:
        """Disconnect, with whatever was not answered."""
        if self.task is not None:
            self.task.cancel()

    async def run(self) -> None:
        """Take and answer items until the sidecar stops."""
        capabilities = [pb.WORKER_CAPABILITY_STATEFUL_HISTORY] if self.stateful else []
        request = pb.GetWorkItemsRequest(capabilities=capabilities)
        try:
            async with (
                asyncio.TaskGroup() as group,
                aclosing(self.engine.work_items(request, items_limit=self.items_limit)) as stream,
            ):
                async for raw in stream:
                    item = pb.WorkItem.FromString(raw)
                    self.items.append(item)
                    if not self.silent:
                        group.create_task(self.answer(item))
        except* ShuttingDownError:
            pass

    async def answer(self, item: pb.WorkItem, token: str | None = None) -> None:
        token = item.completionToken if token is None else token
        if item.HasField("activityRequest"):
            await self._run_activity(item.activityRequest, token)
            return
        self.turns += 1
        self.most_turns = max(self.most_turns, self.turns)
        await asyncio.sleep(0)
        answer = self.decide(item.workflowRequest)
        answer.completionToken = token
        self.turns -= 1
        await self.engine.complete_workflow(answer)

    def decide(self, request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        """Run the workflow function, and leave out what it asked for in earlier turns."""
        turn = Turn(request, self._history(request))
        state = turn.state
        if ending := [e for e in turn.events if e.HasField("executionTerminated")]:
            output = ending[0].executionTerminated
            result = output.input.value if output.HasField("input") else None
            actions = [making.complete(result, status=pb.ORCHESTRATION_STATUS_TERMINATED)]
        elif state.suspended:
            actions = []
        else:
            asked = self.workflows[turn.start.name](turn)
            if isinstance(asked, pb.WorkflowResponse):
                asked.instanceId = turn.id
                return asked
            known = {wait.event_id for wait in state.open | state.settled}
            actions = [action for action in asked if action.id not in known]
        return pb.WorkflowResponse(instanceId=turn.id, actions=actions)

    def _history(self, request: pb.WorkflowRequest) -> list[pb.HistoryEvent]:
        past = list(request.pastEvents)
        if request.HasField("cachedHistory"):
            execution_id, known = self.cache[request.instanceId]
            assert execution_id == request.executionId.value
            past = known[: request.cachedHistory.eventCount] + past
            assert len(known) >= request.cachedHistory.eventCount
        if self.stateful:
            self.cache[request.instanceId] = (request.executionId.value, past)
        return past

    async def _run_activity(self, request: pb.ActivityRequest, token: str) -> None:
        self.activities += 1
        self.most_activities = max(self.most_activities, self.activities)
        try:
            result = await self.activity(request)
        finally:
            self.activities -= 1
        await self.engine.complete_activity(
            pb.ActivityResponse(
                instanceId=request.workflowInstance.instanceId,
                taskId=request.taskId,
                result=making.text(result),
                completionToken=token,
            )
        )


@asynccontextmanager
async def working(
    engine: Engine,
    workflows: Mapping[str, Workflow] | Workflow,
    activity: Activity = echo,
    *,
    stateful: bool = False,
    silent: bool = False,
    items_limit: int = UNLIMITED_IN_FLIGHT,
) -> AsyncIterator[Worker]:
    """Connect a worker; in the end it goes away with whatever it has not answered."""
    table = workflows if isinstance(workflows, Mapping) else {"Flow": workflows}
    worker = Worker(
        engine, table, activity, stateful=stateful, silent=silent, items_limit=items_limit
    )
    connected = engine.connected_workers
    async with asyncio.TaskGroup() as group:
        worker.task = task = group.create_task(worker.run())
        await until(lambda: engine.connected_workers > connected or task.done())
        try:
            yield worker
        finally:
            worker.leave()


# Workflow functions


def nothing_to_do(_: Turn) -> list[pb.WorkflowAction]:
    return [making.complete("done")]


def sequence(count: int) -> Workflow:
    """Return a workflow of activities one after the other, ids from 0."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        done = len(turn.resolved)
        if done == count:
            return [making.complete(",".join(results(turn)), number=count)]
        return [making.schedule(done, value=str(done))]

    return flow


def fan_out(count: int) -> Workflow:
    """Return a workflow of activities at the same time, ids from 0."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if len(turn.resolved) == count:
            return [making.complete(",".join(results(turn)), number=count)]
        return [making.schedule(number, value=str(number)) for number in range(count)]

    return flow


def results(turn: Turn) -> list[str]:
    return [event.taskCompleted.result.value for _, event in sorted(turn.resolved.items())]


def waiting_for(count: int, name: str = "go") -> Workflow:
    """Return a workflow that completes with the data of its first events, in order."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        data = turn.raised(name)
        return [making.complete(",".join(data))] if len(data) >= count else []

    return flow


def adding_up(total: int, at_once: int = 7) -> Workflow:
    """Return a workflow that keeps what it has seen as its input and carries over the rest."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        seen = turn.input.split(",") if turn.input else []
        events = [event for event in turn.events if event.HasField("eventRaised")]
        taken, left = events[:at_once], events[at_once:]
        seen += [event.eventRaised.input.value for event in taken]
        if len(seen) >= total:
            return [making.complete(",".join(seen))]
        return [making.continue_as_new(",".join(seen), left)] if taken else []

    return flow
