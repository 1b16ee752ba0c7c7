"""A hypothesis state machine that does the same to a backend and to the reference backend.

It compares every answer, except for what the two may choose by themselves: the store's clock, the ids of
messages, and the order of what is equally due.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import Any, TypeVar

from durahub.backend import (
    ActivityTask,
    Applied,
    Backend,
    BackendServices,
    ClaimedInstance,
    CommitActivity,
    CreateInstance,
    Deliver,
    EndedQuery,
    InstanceQuery,
    NextGeneration,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Room,
    Session,
)
from durahub.clock import END_OF_TIME
from durahub.errors import SessionFencedError
from durahub.testing import ManualClock, MemoryBackend, MemorySettings
from durahub.types import ExecutionId, InstanceKey, RuntimeStatus, SessionId, TaskKey
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from durahub_conformance.harness import Harness
from durahub_conformance.values import (
    APP,
    OTHER_APP,
    UPDATED_AT,
    creation,
    message,
    task,
    timer,
    turn,
)

T = TypeVar("T")

EXAMPLES = 15
STEPS = 30

KEYS = [InstanceKey(APP, "a"), InstanceKey(APP, "b"), InstanceKey(OTHER_APP, "a")]
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

keys = st.sampled_from(KEYS)
moments = st.sampled_from([PAST, FUTURE, END_OF_TIME])
messages = st.lists(st.sampled_from(["x", "y", "z"]).map(message), max_size=3).map(tuple)
rooms = st.sampled_from([Room(), Room(instances=100, activities=100)])
deliveries = st.builds(Deliver, key=keys, messages=messages, expedite=st.booleans())
maybe = st.none() | st.sampled_from(["", "text"])


def compare_with_reference(harness: Harness) -> None:
    """Run the state machine on stores like a harness', each in a directory of its own.

    Raises:
        AssertionError: The backend answered something else; hypothesis prints the shortest way to it.
    """
    numbers = itertools.count()

    class Machine(Comparison):
        def make_harness(self) -> Harness:
            directory = harness.directory / f"model {next(numbers)}"
            directory.mkdir()
            return harness.anew(directory)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        ),
    )


class Comparison(RuleBasedStateMachine):
    """The backend and the reference, with one session, and what that session has been given."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._harness = self.make_harness()
        self._time = ManualClock()
        self._backends: list[Backend] = [self._harness.backend(), MemoryBackend(MemorySettings())]
        self._session = SessionId("")
        self._claimed: dict[InstanceKey, list[ClaimedInstance]] = {}
        self._tasks: dict[TaskKey, ActivityTask] = {}
        self._revisions: dict[InstanceKey, int] = {}
        self._last: list[Sequence[Operation]] = [(), ()]
        self._count = itertools.count(1)

    def make_harness(self) -> Harness:
        """Return the harness of one run."""
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        """Open both, with a task hub and a session."""
        services = [self._harness.services(), BackendServices(clock=self._time)]
        for backend, given in zip(self._backends, services, strict=True):
            self._run(backend.open(given))
        self._both(lambda backend: backend.create_hub())
        self._register()
        self._apply(Room(), *(self._creation(key, version="v", input="in") for key in KEYS))

    def teardown(self) -> None:
        """Close both."""
        for backend in self._backends:
            self._run(backend.close())
        self._run(self._harness.dispose())
        self._runner.close()

    # What is done

    @rule(
        key=keys,
        text=maybe,
        not_before=st.none() | st.none() | moments,
        purges=st.booleans(),
        room=rooms,
    )
    def create(
        self,
        key: InstanceKey,
        text: str | None,
        not_before: datetime | None,
        *,
        purges: bool,
        room: Room,
    ) -> None:
        """Create an instance, in place of an ended or purged one or of none."""
        if purges:
            self._apply(Room(), PurgeInstance(key=key, force=True))
        self._apply(room, self._creation(key, input=text, version=text, not_before=not_before))

    @rule(deliveries=st.lists(deliveries, min_size=1, max_size=3), room=rooms)
    def deliver(self, deliveries: list[Deliver], room: Room) -> None:
        """Deliver messages."""
        self._apply(room, *deliveries)

    @rule(data=st.data(), room=rooms)
    def commit(self, data: st.DataObject, room: Room) -> None:
        """Commit a turn of something that was claimed, now or long ago."""
        if data.draw(st.booleans()) or not self._claimed:
            self.claim()
        if not self._claimed:
            return
        both = self._claimed[data.draw(st.sampled_from(sorted(self._claimed)))]
        claimed = both[0]
        taken = [data.draw(st.booleans()) for _ in claimed.messages]
        ends, anew = data.draw(st.sampled_from([(False, False), (True, False), (False, True)]))
        child = data.draw(st.none() | keys.filter(lambda key: key != claimed.record.key))
        commit = turn(
            claimed,
            status=RuntimeStatus.COMPLETED if ends else RuntimeStatus.RUNNING,
            completed_at=UPDATED_AT + timedelta(seconds=next(self._count)) if ends else None,
            output=data.draw(maybe),
            custom_status=data.draw(maybe),
            history=() if anew else (b"1", b"2")[: data.draw(st.integers(0, 2))],
            timers=tuple(timer(n, data.draw(moments)) for n in range(data.draw(st.integers(0, 2)))),
            activities=tuple(
                task(claimed, n, app_id=data.draw(st.sampled_from([APP, OTHER_APP])))
                for n in range(data.draw(st.integers(0, 2)))
            ),
            children=() if child is None else (self._creation(child),),
            outgoing=tuple(data.draw(st.lists(deliveries, max_size=2))),
            next_generation=NextGeneration(
                execution_id=self._execution_id(), input=data.draw(maybe), start=message("anew")
            )
            if anew
            else None,
        )
        self._apply_each(room, [(replace(commit, consumed=_ids(one, taken)),) for one in both])

    @rule(data=st.data(), room=rooms)
    def finish_activity(self, data: st.DataObject, room: Room) -> None:
        """Give the result of an activity task, or give the task back."""
        if self._tasks:
            key = data.draw(st.sampled_from(sorted(self._tasks)))
            done: Operation = CommitActivity(task=key, result=message("result"))
            if data.draw(st.sampled_from([True, False, False])):
                done = ReleaseActivity(task=key)
            self._apply(room, done)

    @rule(key=keys, not_before=st.none() | moments, parks=st.booleans(), room=rooms)
    def give_back(
        self, key: InstanceKey, not_before: datetime | None, *, parks: bool, room: Room
    ) -> None:
        """Release or park an instance, whether it is owned or not."""
        park = ParkInstance(key=key, reason="why", updated_at=UPDATED_AT, history=(b"parked",))
        release = ReleaseInstance(key=key, not_before=not_before)
        self._apply(room, park if parks else release)

    @rule(key=keys)
    def purge(self, key: InstanceKey) -> None:
        """Purge an instance if it has ended."""
        self._apply(Room(), PurgeInstance(key=key))

    @rule(room=rooms)
    def repeat(self, room: Room) -> None:
        """Do the last thing again, as after an answer that never came."""
        self._apply_each(room, self._last)

    @rule()
    def claim(self) -> None:
        """Claim everything."""
        claims = self._both(lambda backend: backend.claim_instances(self._session, 100))
        _same([_sorted(one.instances) for one in claims])
        tasks = self._both(lambda backend: backend.claim_activities(self._session, 100))
        _same([list(one) for one in tasks])
        self._learn([one.instances for one in claims], tasks[0])

    @rule(kept=st.sets(keys))
    def release_except(self, kept: set[InstanceKey]) -> None:
        """Give back all but some."""
        self._both(lambda backend: backend.release_except(self._session, kept, set(self._tasks)))

    @rule()
    def end_session(self) -> None:
        """End the session and go on with another one; the ended one writes nothing."""
        ended = self._session
        self._both(lambda backend: backend.unregister(ended))
        self._register()
        for backend in self._backends:
            try:
                self._run(backend.apply(ended, ()))
            except SessionFencedError:
                continue
            raise AssertionError(f"an ended session may write to {backend.describe()}")

    @rule()
    def reopen(self) -> None:
        """Close the backend and go on with a new one, if it is durable."""
        if self._backends[0].capabilities.durable:
            self._run(self._backends[0].close())
            self._backends[0] = self._harness.backend()
            self._run(self._backends[0].open(self._harness.services()))

    # How it is compared

    def _register(self) -> None:
        self._session = SessionId(f"session {next(self._count)}")
        life = timedelta(days=365)
        session = Session(session_id=self._session, app_id=APP, time_to_live=life, holder="model")
        self._both(lambda backend: backend.register(session))

    def _apply(self, room: Room, *operations: Operation) -> None:
        self._apply_each(room, [operations, operations])

    def _apply_each(self, room: Room, batches: list[Sequence[Operation]]) -> None:
        waiting = iter(batches)
        outcomes = self._both(lambda backend: backend.apply(self._session, next(waiting), room))
        _same([_outcome(one) for one in outcomes])
        self._last = batches
        self._learn([one.instances for one in outcomes], outcomes[0].activities)
        self._look()

    def _look(self) -> None:
        views = self._both(lambda backend: backend.get(KEYS, payloads=True))
        _same(views)
        _same(self._both(lambda backend: backend.history(KEYS)))
        for app_id in (APP, OTHER_APP):
            listing = InstanceQuery(app_id=app_id)
            pages = self._both(methodcaller("list_instances", listing))
            _same([{record.key: record for record in page.instances} for page in pages])
            query = EndedQuery(app_id=app_id, status=RuntimeStatus.COMPLETED)
            ended = self._both(methodcaller("list_ended", query))
            _same([found.instances for found in ended])
        self._revisions = {
            view.record.key: view.record.revision for view in views[0] if view is not None
        }

    def _learn(
        self, claimed: Sequence[Sequence[ClaimedInstance]], tasks: Sequence[ActivityTask]
    ) -> None:
        found = [{one.record.key: one for one in each} for each in claimed]
        self._claimed.update({key: [each[key] for each in found] for key in found[0]})
        self._tasks.update({one.key: one for one in tasks})

    def _creation(self, key: InstanceKey, **fields: Any) -> CreateInstance:
        return creation(
            key.instance_id,
            key=key,
            execution_id=self._execution_id(),
            replaces=self._revisions.get(key),
            **fields,
        )

    def _execution_id(self) -> ExecutionId:
        return ExecutionId(f"run {next(self._count)}")

    def _both(self, call: Callable[[Backend], Coroutine[Any, Any, T]]) -> list[T]:
        # No two calls at one moment, so that both agree about what came first.
        step = timedelta(milliseconds=1)
        self._time.advance(step)
        if self._harness.clock is not None:
            self._harness.clock.advance(step)
        return [self._run(call(backend)) for backend in self._backends]

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)


def _same(answers: Sequence[object]) -> None:
    assert answers[0] == answers[1]


def _outcome(applied: Applied) -> tuple[object, ...]:
    tasks = sorted(applied.activities, key=lambda one: one.key)
    return applied.results, _sorted(applied.instances), tasks


def _sorted(claimed: Sequence[ClaimedInstance]) -> list[tuple[object, ...]]:
    """Return what was claimed, with the messages in their order and without their ids and times."""
    ordered = sorted(claimed, key=lambda one: one.record.key)
    return [
        (one.record, [stored.message for stored in one.messages], one.timers) for one in ordered
    ]


def _ids(claimed: ClaimedInstance, taken: Sequence[bool]) -> tuple[int, ...]:
    pairs = zip(claimed.messages, taken, strict=True)
    return tuple(stored.message_id for stored, is_taken in pairs if is_taken)
