"""Runs claimed activity tasks: ask a worker, make the result durable."""

from __future__ import annotations

import logging

from google.protobuf.message import DecodeError

from durahub.backend import ActivityTask, CommitActivity, Message, ReleaseActivity, TaskNotOwned
from durahub.clock import Clock
from durahub.engine.damage import check_request
from durahub.engine.dispatch import Dispatcher, NoWorkerError
from durahub.engine.draft import batch_of
from durahub.engine.events import activity_result
from durahub.engine.lane import StoreLane
from durahub.engine.streams import ItemName, WorkerStream
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.protocol.frames import activity_item_bytes

log = logging.getLogger("durahub.engine.activities")


class ActivityRunner:
    """Runs one claimed activity task from beginning to end."""

    def __init__(self, lane: StoreLane, dispatcher: Dispatcher, clock: Clock) -> None:
        self._lane = lane
        self._dispatcher = dispatcher
        self._clock = clock

    async def run(self, task: ActivityTask) -> None:
        """Have a worker run the task and deliver its result, or give the task back.

        The worker's call returns when the result is durable. A task whose instance was purged or taken
        over meanwhile ends quietly.
        """
        try:
            request = pb.ActivityRequest.FromString(task.payload)
            check_request(task, request)
        except (DecodeError, BackendCorruptionError) as error:
            await self._fail_damaged(task, error)
            return
        name = ItemName(task.key.instance.instance_id, task.key.task_id)

        def frame(_: WorkerStream, token: str) -> bytes:
            return activity_item_bytes(task.payload, completion_token=token)

        try:
            response, item = await self._dispatcher.ask(name, frame)
        except NoWorkerError:
            await self._lane.write(ReleaseActivity(task=task.key))
            return
        try:
            await self._commit(task, request, response)
        finally:
            self._dispatcher.settle(item)

    async def _commit(
        self, task: ActivityTask, request: pb.ActivityRequest, response: object
    ) -> None:
        assert isinstance(response, pb.ActivityResponse)
        event = activity_result(self._clock.now(), request, response, _router(task))
        message = Message(payload=batch_of(event), execution_id=task.key.execution_id)
        result = await self._lane.write(CommitActivity(task=task.key, result=message))
        if isinstance(result, TaskNotOwned):
            log.info(
                "result of an activity that is not wanted any more",
                extra={"instance_id": task.key.instance.instance_id, "task_id": task.key.task_id},
            )

    async def _fail_damaged(
        self, task: ActivityTask, error: DecodeError | BackendCorruptionError
    ) -> None:
        """Tell the workflow that its activity can't be run: its stored description is damaged.

        Its own state is sound, so it is not parked: it has code for activities that fail, can go on and
        compensate, and a retry of its own schedules the activity anew, undamaged.
        """
        log.error(
            "activity task is damaged",
            extra={"instance_id": task.key.instance.instance_id, "task_id": task.key.task_id},
        )
        failure = pb.TaskFailureDetails(
            errorType="ActivityTaskCorrupt",
            errorMessage=f"the stored task {task.name!r} is damaged: {error}",
        )
        await self._commit(
            task,
            pb.ActivityRequest(taskId=task.key.task_id),
            pb.ActivityResponse(failureDetails=failure),
        )


def _router(task: ActivityTask) -> pb.TaskRouter:
    """Return the way that a task was routed: its result says the same."""
    source = task.key.instance.app_id
    target = None if task.app_id == source else task.app_id
    return pb.TaskRouter(sourceAppID=source, targetAppID=target)
