"""What no client can do: put things in an instance's inbox, and see that nothing is left in the store."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from durahub.backend import (
    ActivityTask,
    BackendServices,
    ClaimedInstance,
    Deliver,
    Message,
    Result,
    Session,
)
from durahub.clock import SystemClock
from durahub.engine.draft import batch_of
from durahub.protocol import messages as pb
from durahub.types import AppId, ExecutionId, InstanceKey, SessionId

from tests.parity.hub import APP, Hub, Sidecar


def message_of(
    sidecar: Sidecar, instance_id: str, *events: pb.HistoryEvent, run: str | None = None
) -> Deliver:
    """Return what delivers events.

    Args:
        sidecar: Its application's instance gets them.
        instance_id: Which.
        events: They go together.
        run: Execution id of the generation that they are meant for; None: whichever runs.
    """
    message = Message(
        payload=batch_of(*events), execution_id=None if run is None else ExecutionId(run)
    )
    return Deliver(key=InstanceKey(AppId(sidecar.app), instance_id), messages=(message,))


async def plant(
    sidecar: Sidecar, instance_id: str, *events: pb.HistoryEvent, run: str | None = None
) -> Result:
    """Deliver events as the sidecar itself would."""
    return await sidecar.engine._lane.write(message_of(sidecar, instance_id, *events, run=run))


async def plant_unnoticed(sidecar: Sidecar, instance_id: str, *events: pb.HistoryEvent) -> Result:
    """Deliver events so that nobody is told of them."""
    assert sidecar.engine._session is not None
    deliver = message_of(sidecar, instance_id, *events)
    applied = await sidecar.backend.apply(sidecar.engine._session.session_id, [deliver])
    return applied.results[0]


class Remains:
    """What waits in a store that no sidecar uses.

    Attributes:
        instances: Instances that something waits for now.
        tasks: Activity tasks.
        sleepers: Whether something will become due later.
    """

    def __init__(
        self, instances: tuple[ClaimedInstance, ...], tasks: tuple[ActivityTask, ...], later: object
    ) -> None:
        self.instances = [claimed.record.key.instance_id for claimed in instances]
        self.tasks = [task.name for task in tasks]
        self.sleepers = later is not None


async def remains(hub: Hub, app: str = APP) -> Remains:
    """Take whatever waits in a store of which no sidecar is left."""
    backend = hub._new_backend()
    await backend.open(BackendServices(clock=SystemClock()))
    try:
        session = Session(
            session_id=SessionId(uuid4().hex),
            app_id=AppId(app),
            time_to_live=timedelta(minutes=1),
            holder="a test",
        )
        await backend.register(session)
        claims = await backend.claim_instances(session.session_id, 1000)
        tasks = await backend.claim_activities(session.session_id, 1000)
        await backend.unregister(session.session_id)
    finally:
        await backend.close()
    return Remains(claims.instances, tasks, claims.next_due_at)


NOTHING: dict[str, object] = {"instances": [], "tasks": [], "sleepers": False}
"""The `vars` of `Remains` if nothing waits."""
