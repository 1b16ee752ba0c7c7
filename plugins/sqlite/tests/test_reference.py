"""Whatever is done, this backend and the reference backend give the same answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import (
    NO_LIMITS,
    ActivityTask,
    Applied,
    Backend,
    BackendServices,
    ClaimedInstance,
    ClaimLimit,
    ClaimLimits,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    EndedQuery,
    InstanceQuery,
    Message,
    NextGeneration,
    Operation,
    ParentLink,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Room,
    Session,
    Timer,
)
from durahub.clock import END_OF_TIME
from durahub.errors import SessionFencedError
from durahub.testing import ManualClock, MemoryBackend, MemorySettings
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, TaskKey
from durahub_sqlite import SqliteBackend

APPS = (AppId("app"), AppId("other"))
STEPS = 80
NAMES = "abc"
SEEDS = [*range(12), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(12, 300))]


class Script:
    """Makes random operations that a correct engine could send, and some that come too late."""

    def __init__(self, seed: int, clock: ManualClock, make: Any, *, limited: bool) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.make = make
        self.keys = [InstanceKey(app, f"i{n}") for app in APPS for n in range(5)]
        self.claimed: dict[InstanceKey, ClaimedInstance] = {}
        self.tasks: dict[TaskKey, ActivityTask] = {}
        self.revisions: dict[InstanceKey, int] = {}
        self.count = 0
        self.limited = limited

    def registration(self, session_id: str) -> Session:
        """Return a session, with any limits if this script has some."""
        limits = ClaimLimits(instances=self.limit(), activities=self.limit())
        return self.make.registration(session_id, limits=limits if self.limited else NO_LIMITS)

    def limit(self) -> ClaimLimit:
        by_name = {name: self.random.randrange(3) for name in NAMES if self.random.random() < 0.5}
        return ClaimLimit(
            total=self.random.choice([None, self.random.randrange(5)]),
            by_name=self.maybe(by_name) or {},
        )

    def batch(self) -> list[Operation]:
        """Return operations of which no two change the same instance as a whole."""
        free = set(self.keys)
        operations: list[Operation] = []
        for _ in range(self.random.randrange(8)):
            kind = self.random.choice(KINDS)
            operation = kind(self, free)
            if operation is not None:
                operations.append(operation)
        return operations

    def take(self, free: set[InstanceKey]) -> InstanceKey | None:
        if not free:
            return None
        key = self.random.choice(sorted(free))
        free.remove(key)
        return key

    def name(self) -> str:
        self.count += 1
        return f"{self.count}"

    def message(self) -> Message:
        execution_id = self.random.choice([None, ExecutionId("some")])
        return Message(payload=self.name().encode(), execution_id=execution_id)

    def maybe(self, value: Any) -> Any:
        return self.random.choice([None, value])

    def later(self) -> Any:
        moment = self.clock.now() + timedelta(seconds=self.random.randrange(-5, 60))
        return self.random.choice([moment, moment, moment, END_OF_TIME])

    def create(self, free: set[InstanceKey]) -> CreateInstance | None:
        key = self.take(free)
        return key and CreateInstance(
            key=key,
            name=self.random.choice(NAMES),
            version=self.maybe("v"),
            execution_id=ExecutionId(f"e{self.name()}"),
            input=self.maybe(self.name()),
            tags=self.maybe({"a\0": "ü"}) or {},
            parent=self.maybe(
                ParentLink(key=self.keys[0], execution_id=ExecutionId("p"), task_id=self.count)
            ),
            created_at=self.clock.now(),
            start=self.message(),
            not_before=self.random.choice([None, None, self.later()]),
            # Which one of equals is admitted depends on when it was created, and that on the backend.
            replaces=None if self.limited else self.revisions.get(key),
        )

    def deliver(self, _: set[InstanceKey]) -> Deliver:
        return Deliver(
            key=self.random.choice(self.keys),
            messages=tuple(self.message() for _ in range(self.random.randrange(3))),
            expedite=self.random.random() < 0.3,
        )

    def turn(self, free: set[InstanceKey]) -> CommitTurn | None:
        claimed = self.claimed.get(self.take(free) or self.keys[0])
        if claimed is None:
            return None
        free.discard(claimed.record.key)
        following = self.random.random() < 0.2
        ends = not following and self.random.random() < 0.3
        return CommitTurn(
            key=claimed.record.key,
            execution_id=claimed.record.execution_id,
            revision=claimed.record.revision,
            status=RuntimeStatus.FAILED if ends else RuntimeStatus.RUNNING,
            updated_at=self.clock.now(),
            started_at=self.maybe(self.clock.now()),
            completed_at=self.clock.now() if ends else None,
            custom_status=self.random.choice([None, "", self.name()]),
            output=self.maybe("out"),
            failure=self.maybe(b"\0failure"),
            consumed=tuple(
                stored.message_id for stored in claimed.messages if self.random.random() < 0.7
            ),
            removed_timers=tuple(timer.timer_id for timer in claimed.timers),
            history=() if following else tuple(b"h%d" % n for n in range(self.random.randrange(4))),
            next_generation=self.following() if following else None,
            timers=tuple(self.timer() for _ in range(self.random.randrange(3))),
            activities=tuple(self.task(claimed) for _ in range(self.random.randrange(3))),
            children=tuple(filter(None, [self.create(free)] if self.random.random() < 0.3 else [])),
            outgoing=tuple(self.deliver(free) for _ in range(self.random.randrange(2))),
        )

    def following(self) -> NextGeneration:
        return NextGeneration(
            execution_id=ExecutionId(f"e{self.name()}"),
            input=self.maybe(self.name()),
            start=self.message(),
        )

    def timer(self) -> Timer:
        return Timer(timer_id=self.random.randrange(4), due_at=self.later(), payload=b"t")

    def task(self, claimed: ClaimedInstance) -> ActivityTask:
        record = claimed.record
        return ActivityTask(
            key=TaskKey(record.key, record.execution_id, self.random.randrange(4)),
            app_id=self.random.choice(APPS),
            name=self.random.choice(NAMES),
            payload=b"a",
        )

    def finish_task(self, _: set[InstanceKey]) -> Operation | None:
        if not self.tasks:
            return None
        key = self.random.choice(list(self.tasks))
        if self.random.random() < 0.2:
            return ReleaseActivity(task=key)
        return CommitActivity(task=key, result=self.message())

    def give_back(self, free: set[InstanceKey]) -> Operation | None:
        key = self.take(free)
        if key is None or self.random.random() < 0.4:
            return key and ParkInstance(key=key, reason="why", updated_at=self.clock.now())
        return ReleaseInstance(key=key, not_before=self.maybe(self.later()))

    def purge(self, free: set[InstanceKey]) -> PurgeInstance | None:
        key = self.take(free)
        return key and PurgeInstance(
            key=key,
            execution_id=self.random.choice([None, None, None, ExecutionId("other")]),
            force=self.random.random() < 0.3,
        )

    def learn(self, claimed: Sequence[ClaimedInstance], tasks: Sequence[ActivityTask]) -> None:
        self.claimed.update({one.record.key: one for one in claimed})
        self.tasks.update({task.key: task for task in tasks})


KINDS: list[Callable[[Script, set[InstanceKey]], Operation | None]] = [
    *[Script.create] * 4,
    *[Script.deliver] * 3,
    *[Script.turn] * 8,
    *[Script.finish_task] * 3,
    Script.give_back,
    Script.purge,
]


def in_order(applied: Applied) -> tuple[object, ...]:
    """Make outcomes comparable: which claims come first of equals is nobody's business."""
    instances = sorted(applied.instances, key=lambda one: one.record.key)
    return applied.results, instances, sorted(applied.activities, key=lambda task: task.key)


async def compare_everything(backends: Sequence[Backend], script: Script) -> None:
    answers = []
    for backend in backends:
        views = await backend.get(script.keys, payloads=True)
        histories = await backend.history(script.keys)
        pages = [await backend.list_instances(InstanceQuery(app_id=app)) for app in APPS]
        listed = [{one.key: one for one in page.instances} for page in pages]
        statuses = (RuntimeStatus.FAILED, RuntimeStatus.STALLED)
        filtered = await backend.list_instances(InstanceQuery(app_id=APPS[0], statuses=statuses))
        ended = [
            await backend.list_ended(EndedQuery(app_id=app, status=RuntimeStatus.FAILED))
            for app in APPS
        ]
        ends = [[(one.completed_at, one.key) for one in found.instances] for found in ended]
        assert all(moments == sorted(moments, key=lambda end: end[0]) for moments in ends)
        answers.append(
            (
                views,
                histories,
                listed,
                {one.key for one in filtered.instances},
                [{one.key: one for one in found.instances} for found in ended],
                [found.now for found in ended],
            )
        )
    assert answers[0] == answers[1]
    script.revisions = {
        view.record.key: view.record.revision for view in answers[0][0] if view is not None
    }


async def claim(backends: Sequence[Backend], session: Any, script: Script) -> None:
    instances, tasks = [], []
    for backend in backends:
        claims = await backend.claim_instances(session, 100)
        instances.append((sorted(claims.instances, key=lambda one: one.record.key), claims))
        tasks.append(await backend.claim_activities(session, 100))
    assert instances[0][0] == instances[1][0]
    assert instances[0][1].next_due_at == instances[1][1].next_due_at
    assert tasks[0] == tasks[1]
    script.learn(instances[0][0], tasks[0])


@pytest.mark.parametrize("limited", [False, True], ids=["free", "limited"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_same_answers_as_the_reference(
    new_backend: Callable[..., SqliteBackend],
    make: Any,
    clock: ManualClock,
    *,
    seed: int,
    limited: bool,
) -> None:
    script = Script(seed, clock, make, limited=limited)
    place = "sqlite://" if seed % 2 else None
    backends = (new_backend(place), MemoryBackend(MemorySettings(exclusive=True)))
    session = make.session
    first = script.registration(session)
    for backend in backends:
        await backend.open(BackendServices(clock=clock))
        await backend.create_hub()
        await backend.register(first)
    for step in range(STEPS):
        clock.advance(timedelta(seconds=script.random.randrange(5)))
        operations = script.batch()
        room = script.random.choice([Room(), Room(instances=100, activities=100)])
        outcomes = [await backend.apply(session, operations, room) for backend in backends]
        assert in_order(outcomes[0]) == in_order(outcomes[1])
        script.learn(outcomes[0].instances, outcomes[0].activities)
        if script.random.random() < 0.3:
            await claim(backends, session, script)
        if script.random.random() < 0.1:
            named = set(script.random.sample(script.keys, 3)), set(script.tasks)
            for backend in backends:
                await backend.release_except(session, *named)
        if script.random.random() < 0.05:
            successor = script.registration(f"s{step}")
            fenced = [await backend.register(successor) for backend in backends]
            assert fenced[0] == fenced[1]
            for backend in backends:
                with pytest.raises(SessionFencedError):
                    await backend.apply(session, operations)
            session = f"s{step}"
        await compare_everything(backends, script)
