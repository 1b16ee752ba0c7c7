"""Limits: counted over all sessions of an application, and never in the way of others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import (
    ClaimLimit,
    ClaimLimits,
    CommitActivity,
    EndedQuery,
    Message,
    PurgeInstance,
    ReleaseInstance,
)
from durahub.types import AppId, RuntimeStatus, SessionId

LIMITS = ClaimLimits(
    instances=ClaimLimit(total=4, by_name={"a": 1, "b": 2, "never": 0}),
    activities=ClaimLimit(total=3, by_name={"x": 1}),
)
SESSIONS = [SessionId(f"limited {number}") for number in range(3)]


@pytest.fixture
async def limited(make: Any, new_backend: Callable[..., Any]) -> Any:
    """A backend with sessions that all have the same limits."""
    backend = await new_backend()
    await backend.create_hub()
    for session_id in SESSIONS:
        await backend.register(make.registration(session_id, limits=LIMITS))
    return backend


def names(claimed: Any) -> Counter[str]:
    return Counter(one.record.name for one in claimed)


async def create(hub: Any, make: Any, **counts: int) -> None:
    creations = [
        make.creation(f"{name}{number}", name=name)
        for name, count in counts.items()
        for number in range(count)
    ]
    await hub.backend.apply(make.session, creations)


async def test_claims_at_the_same_time_keep_the_limits_together(
    hub: Any, make: Any, limited: Any
) -> None:
    await create(hub, make, never=5, a=5, b=5, c=5)
    claims = await asyncio.gather(
        *(limited.claim_instances(session_id, 10) for session_id in SESSIONS * 3)
    )
    claimed = [one for claim in claims for one in claim.instances]
    assert sum(names(claimed).values()) == 4
    assert names(claimed)["a"] <= 1
    assert names(claimed)["b"] <= 2
    assert names(claimed)["never"] == 0
    await hub.backend.claim_instances(make.session, 100)  # it has no limits


async def test_order_holds_among_what_limits_leave(hub: Any, make: Any, limited: Any) -> None:
    await create(hub, make, never=3, a=2, b=3, c=2)
    claims = await limited.claim_instances(SESSIONS[0], 10)
    assert [one.record.key.instance_id for one in claims.instances] == ["a0", "b0", "b1", "c0"]
    assert claims.next_due_at is None


async def test_owned_without_limits_counts_too(hub: Any, make: Any, limited: Any) -> None:
    await create(hub, make, a=1, b=1, c=1)
    assert len((await hub.backend.claim_instances(make.session, 100)).instances) == 3
    await create(hub, make, aa=1)
    await hub.backend.apply(
        make.session, [make.creation("a9", name="a"), make.creation("c9", name="c")]
    )
    claims = await limited.claim_instances(SESSIONS[0], 10)
    assert names(claims.instances) == {"aa": 1}


@pytest.mark.usefixtures("hub")
async def test_batch_claims_within_the_limits(make: Any, limited: Any) -> None:
    creations = [make.creation(f"{name}{n}", name=name) for name in "abc" for n in range(3)]
    applied = await limited.apply(SESSIONS[0], creations, make.room)
    assert names(applied.instances) == {"a": 1, "b": 2, "c": 1}
    (one, *_) = applied.instances
    # What the batch itself gives back makes room in the same batch.
    turn = make.turn(one, consumed=())
    applied = await limited.apply(SESSIONS[0], [turn, make.creation("a9", name="a")], make.room)
    assert names(applied.instances) == {"a": 1}
    free = ReleaseInstance(key=applied.instances[0].record.key)
    await limited.apply(SESSIONS[0], [free])
    assert names((await limited.claim_instances(SESSIONS[1], 9)).instances) == {"a": 1}


async def test_tasks_are_claimed_within_the_limits(hub: Any, make: Any, limited: Any) -> None:
    (claimed,) = await hub.start(make.creation("one"))
    tasks = [make.task(claimed, number, name="xyz"[number % 3]) for number in range(9)]
    await hub.backend.apply(make.session, [make.turn(claimed, activities=tuple(tasks[:6]))])
    found = await limited.claim_activities(SESSIONS[0], 10)
    assert [task.key.task_id for task in found] == [0, 1, 2]
    assert await limited.claim_activities(SESSIONS[1], 10) == ()
    commit = CommitActivity(task=found[0].key, result=Message(payload=b"r"))
    await limited.apply(SESSIONS[0], [commit])
    again = await limited.claim_activities(SESSIONS[1], 10)
    assert [task.key.task_id for task in again] == [3]


@pytest.mark.usefixtures("hub")
async def test_batch_claims_tasks_within_the_limits(make: Any, limited: Any) -> None:
    (claimed,) = (await limited.apply(SESSIONS[0], [make.creation("one")], make.room)).instances
    tasks = [make.task(claimed, number, name="xy"[number % 2]) for number in range(8)]
    theirs = make.task(claimed, 99, AppId("other"), name="y")
    turn = make.turn(claimed, activities=(theirs, *tasks))
    applied = await limited.apply(SESSIONS[0], [turn], make.room)
    assert [task.key.task_id for task in applied.activities] == [0, 1, 3]


async def test_names_are_counted_as_they_are(hub: Any, make: Any, limited: Any) -> None:
    limits = ClaimLimits(instances=ClaimLimit(by_name={"a\0": 1}))
    await limited.register(make.registration("odd", limits=limits))
    creations = [make.creation(f"i{n}", name=name) for n, name in enumerate(["a\0", "a\0", "a"])]
    await hub.backend.apply(make.session, creations)
    claims = await limited.claim_instances(SessionId("odd"), 10)
    assert names(claims.instances) == {"a\0": 1, "a": 1}


async def test_longest_ended_are_listed_first(hub: Any, make: Any) -> None:
    claimed = await hub.start(*(make.creation(f"i{number}") for number in range(6)))
    ends = [5, 1, 3, 2, 4, 0]
    for one, end in zip(claimed, ends, strict=True):
        status = RuntimeStatus.FAILED if end == 0 else RuntimeStatus.COMPLETED
        ended_at = make.created_at + timedelta(hours=end)
        await hub.apply(make.turn(one, status=status, completed_at=ended_at))
    query = EndedQuery(app_id=make.app, status=RuntimeStatus.COMPLETED, limit=3)
    before = await hub.backend.now()
    ended = await hub.backend.list_ended(query)
    assert [record.key.instance_id for record in ended.instances] == ["i1", "i3", "i2"]
    assert ended.instances[0] == (await hub.backend.get([make.key("i1")]))[0].record
    assert before <= ended.now <= await hub.backend.now()
    await hub.apply(*(PurgeInstance(key=record.key) for record in ended.instances))
    rest = await hub.backend.list_ended(query)
    assert [record.key.instance_id for record in rest.instances] == ["i4", "i0"]
    for app_id, status in (
        (AppId("other"), RuntimeStatus.FAILED),
        (make.app, RuntimeStatus.TERMINATED),
    ):
        assert (
            await hub.backend.list_ended(EndedQuery(app_id=app_id, status=status))
        ).instances == ()
