"""Writes to the store what no client could send."""

from __future__ import annotations

from durahub.backend import Deliver, Message, Result
from durahub.protocol import messages as pb
from durahub.types import AppId, ExecutionId, InstanceKey

from core.tests.engine.making import batch_of
from tests.parity.hub import Sidecar


async def deliver(
    sidecar: Sidecar, instance_id: str, *events: pb.HistoryEvent, execution_id: str | None = None
) -> Result:
    """Put events into an instance's inbox, as a sidecar that repeats itself might."""
    message = Message(
        payload=batch_of(*events),
        execution_id=None if execution_id is None else ExecutionId(execution_id),
    )
    key = InstanceKey(AppId(sidecar.app), instance_id)
    session = sidecar.engine._session
    assert session is not None
    applied = await sidecar.backend.apply(
        session.session_id, [Deliver(key=key, messages=(message,))]
    )
    return applied.results[0]
