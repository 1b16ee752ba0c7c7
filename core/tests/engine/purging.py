"""Purges by filter, as tests ask for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp

from .hub import store_of

COMPLETED = pb.ORCHESTRATION_STATUS_COMPLETED
FAILED = pb.ORCHESTRATION_STATUS_FAILED
TERMINATED = pb.ORCHESTRATION_STATUS_TERMINATED
RUNNING = pb.ORCHESTRATION_STATUS_RUNNING
SUSPENDED = pb.ORCHESTRATION_STATUS_SUSPENDED


async def purge_matching(
    engine: Engine,
    *statuses: pb.OrchestrationStatus.ValueType,
    since: datetime | None = None,
    until_at: datetime | None = None,
    **fields: Any,
) -> int:
    wanted = pb.PurgeInstanceFilter(
        runtimeStatus=statuses,
        createdTimeFrom=to_timestamp(since) if since else None,
        createdTimeTo=to_timestamp(until_at) if until_at else None,
    )
    request = pb.PurgeInstancesRequest(purgeInstanceFilter=wanted, **fields)
    response = await engine.client.purge(request)
    assert response.isComplete.value is True
    return response.deletedInstanceCount


def left(engine: Engine) -> set[str]:
    return {key.instance_id for key in store_of(engine).instances}
