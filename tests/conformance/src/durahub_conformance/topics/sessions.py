"""SES: sessions, and how the dead lose what they owned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.backend import (
    CommitActivity,
    Delivered,
    NotOwner,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
)
from durahub.errors import BackendError, SessionFencedError
from durahub.types import SessionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    UPDATED_AT,
    creation,
    delivery,
    key,
    keys,
    message,
    task,
    timer,
    turn,
)


class SessionRequirements:
    """Requirements of sessions."""

    @requirement("SES-01")
    async def test_answers_tell_the_stores_clock(self, hub: Hub) -> None:
        """`register` and `heartbeat` return the store's clock."""
        before = await hub.backend.now()
        registered = await hub.backend.register(session := hub.new_session())
        await hub.wait()
        beaten = await hub.backend.heartbeat(session.session_id)
        after = await hub.backend.now()
        assert before <= registered.now
        assert registered.now + 0.9 * hub.moment <= beaten.now <= after

    @requirement("SES-02")
    async def test_session_id_is_never_used_again(self, hub: Hub) -> None:
        """A session id that was used before is refused: alive, ended or fenced."""
        session = hub.new_session(mortal=True)
        await hub.backend.register(session)
        with pytest.raises(BackendError):
            await hub.backend.register(session)
        await hub.fence(session.session_id)
        with pytest.raises(BackendError):
            await hub.backend.register(session)
        ended = hub.new_session()
        await hub.backend.register(ended)
        await hub.backend.unregister(ended.session_id)
        with pytest.raises(BackendError):
            await hub.backend.register(ended)

    @requirement("SES-03", needs="multi_process")
    async def test_session_with_heartbeats_lives(self, hub: Hub) -> None:
        """A session whose heartbeats come in time is not fenced, however long it lives."""
        mortal = await hub.join(mortal=True)
        for _ in range(3):
            await hub.harness.advance(hub.moment / 2)
            assert (await hub.backend.heartbeat(hub.session)).fenced == ()
            assert (await hub.backend.heartbeat(mortal)).fenced == ()

    @requirement("SES-04", needs="multi_process")
    async def test_overdue_session_is_fenced_once_by_a_heartbeat(self, hub: Hub) -> None:
        """A heartbeat fences the sessions that are overdue by the store's clock, once."""
        mortal = await hub.join(mortal=True)
        await hub.wait(2)
        assert (await hub.backend.heartbeat(hub.session)).fenced == (mortal,)
        assert (await hub.backend.heartbeat(hub.session)).fenced == ()

    @requirement("SES-05", needs="multi_process")
    async def test_register_fences_only_the_overdue(self, hub: Hub) -> None:
        """`register` fences the sessions that are overdue, and no other."""
        mortal = await hub.join(mortal=True)
        await hub.wait(2)
        assert (await hub.backend.register(hub.new_session())).fenced == (mortal,)
        await hub.backend.heartbeat(hub.session)

    @requirement("SES-06", without="multi_process")
    async def test_register_fences_all_others_of_an_exclusive_store(self, hub: Hub) -> None:
        """Where one process can use the store, `register` fences every other living session."""
        claimed = await hub.owned()
        assert (await hub.backend.register(session := hub.new_session())).fenced == (hub.session,)
        assert (await hub.backend.register(hub.new_session())).fenced == (session.session_id,)
        with pytest.raises(SessionFencedError):
            await hub.commit(claimed)

    @requirement("SES-07")
    async def test_fenced_session_cannot_write(self, hub: Hub) -> None:
        """Every write of a fenced session raises `SessionFencedError` and writes nothing."""
        mortal = hub.session = await hub.join(mortal=True)
        (owned_task,) = await hub.with_tasks(1, instance_id="with task")
        claimed = await hub.owned()
        await hub.fence(mortal)
        before = await hub.rows(key("one"), key("with task"), key("new"))
        operations: list[Operation] = [
            creation("new"),
            delivery("one", "late"),
            turn(claimed),
            CommitActivity(task=owned_task.key, result=message("late")),
            ReleaseInstance(key=key("one")),
            ParkInstance(key=key("one"), reason="late", updated_at=UPDATED_AT),
            ReleaseActivity(task=owned_task.key),
            PurgeInstance(key=key("one"), force=True),
        ]
        for operation in operations:
            with pytest.raises(SessionFencedError):
                await hub.do(operation, session=mortal)
        assert await hub.rows(key("one"), key("with task"), key("new")) == before

    @requirement("SES-08")
    async def test_fenced_session_cannot_claim(self, hub: Hub) -> None:
        """A claim by a fenced session raises `SessionFencedError` and claims nothing."""
        mortal = hub.session = await hub.join(mortal=True)
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 1),))
        await hub.create("two")
        successor = await hub.fence(mortal)
        with pytest.raises(SessionFencedError):
            await hub.claim(mortal)
        with pytest.raises(SessionFencedError):
            await hub.claim_tasks(session=mortal)
        assert keys(await hub.claim(successor)) == [key("two")]
        assert await hub.claim_tasks(session=successor) == (task(claimed, 1),)

    @requirement("SES-09")
    async def test_fenced_session_cannot_beat_or_give_back(self, hub: Hub) -> None:
        """`heartbeat` and `release_except` of a fenced session raise `SessionFencedError`."""
        mortal = await hub.join(mortal=True)
        await hub.fence(mortal)
        with pytest.raises(SessionFencedError):
            await hub.backend.heartbeat(mortal)
        with pytest.raises(SessionFencedError):
            await hub.backend.release_except(mortal, set(), set())

    @requirement("SES-10")
    async def test_what_a_fenced_session_owned_is_claimable(self, hub: Hub) -> None:
        """Fencing makes everything that the session owned unowned, with all that waits for it."""
        mortal = hub.session = await hub.join(mortal=True)
        scheduled = await hub.with_tasks(1, 2)
        claimed = await hub.owned("two")
        successor = await hub.fence(mortal)
        assert await hub.claim(successor) == (claimed,)
        assert await hub.claim_tasks(session=successor) == scheduled

    @requirement("SES-11")
    async def test_fencing_keeps_due_what_was_due(self, hub: Hub) -> None:
        """An instance that was due without a message when it was claimed is due after fencing."""
        await hub.idle()
        mortal = await hub.join(mortal=True)
        await hub.do(delivery("one", expedite=True), session=mortal)
        await hub.claim_one(mortal)
        successor = await hub.fence(mortal)
        assert keys(await hub.claim(successor)) == [key("one")]

    @requirement("SES-12")
    async def test_unregister_gives_everything_back_at_once(self, hub: Hub) -> None:
        """`unregister` makes what the session owned claimable at once."""
        scheduled = await hub.with_tasks(1)
        claimed = await hub.owned("two")
        await hub.backend.unregister(hub.session)
        successor = await hub.join()
        assert await hub.claim(successor) == (claimed,)
        assert await hub.claim_tasks(session=successor) == scheduled

    @requirement("SES-13")
    async def test_unregister_is_idempotent(self, hub: Hub) -> None:
        """`unregister` of an unknown, ended or fenced session is no error."""
        await hub.backend.unregister(SessionId("unknown"))
        mortal = await hub.join(mortal=True)
        successor = await hub.fence(mortal)
        await hub.backend.unregister(mortal)
        await hub.backend.unregister(successor)
        await hub.backend.unregister(successor)

    @requirement("SES-14")
    async def test_ended_session_is_not_alive(self, hub: Hub) -> None:
        """After `unregister` the session's writes, claims and heartbeats raise."""
        claimed = await hub.owned()
        await hub.backend.unregister(hub.session)
        before = await hub.rows(key("one"))
        with pytest.raises(SessionFencedError):
            await hub.commit(claimed)
        with pytest.raises(SessionFencedError):
            await hub.claim()
        with pytest.raises(SessionFencedError):
            await hub.backend.heartbeat(hub.session)
        assert await hub.rows(key("one")) == before

    @requirement("SES-15")
    async def test_unknown_session_is_not_alive(self, hub: Hub) -> None:
        """Writes, claims and heartbeats of a session that was never registered raise."""
        unknown = SessionId("unknown")
        with pytest.raises(SessionFencedError):
            await hub.do(creation("one"), session=unknown)
        with pytest.raises(SessionFencedError):
            await hub.claim(unknown)
        with pytest.raises(SessionFencedError):
            await hub.claim_tasks(session=unknown)
        with pytest.raises(SessionFencedError):
            await hub.backend.heartbeat(unknown)
        assert not await hub.exists(key("one"))

    @requirement("SES-16")
    async def test_late_heartbeat_before_fencing_revives(self, hub: Hub) -> None:
        """An overdue session that nobody has fenced lives on by its own heartbeat."""
        mortal = hub.session = await hub.join(mortal=True)
        claimed = await hub.owned()
        await hub.wait(2)
        assert mortal not in (await hub.backend.heartbeat(mortal)).fenced
        await hub.commit(claimed)

    @requirement("SES-17")
    async def test_release_except_keeps_what_is_named(self, hub: Hub) -> None:
        """`release_except` gives back what the session owns except what is named."""
        kept_task, other_task = await hub.with_tasks(1, 2, instance_id="tasks")
        await hub.create("one", "two")
        one, two = await hub.claim()
        await hub.backend.release_except(hub.session, {one.record.key}, {kept_task.key})
        assert await hub.claim() == (two,)
        assert await hub.claim_tasks() == (other_task,)
        assert await hub.do(turn(one)) != [NotOwner()]

    @requirement("SES-18", needs="multi_process")
    async def test_release_except_leaves_others_alone(self, hub: Hub) -> None:
        """`release_except` takes nothing from another session."""
        claimed = await hub.owned()
        await hub.backend.release_except(await hub.join(), set(), set())
        await hub.commit(claimed)

    @requirement("SES-19")
    async def test_ownership_needs_no_renewal(self, hub: Hub) -> None:
        """Ownership lasts as long as the session lives, whatever time passes."""
        await hub.with_tasks(1, instance_id="tasks")
        claimed = await hub.owned()
        await hub.wait(5)
        await hub.backend.heartbeat(hub.session)
        assert await hub.claim() == ()
        assert await hub.claim_tasks() == ()
        await hub.commit(claimed)

    @requirement("SES-20", needs="multi_process")
    async def test_nobody_takes_over_from_the_overdue_before_fencing(self, hub: Hub) -> None:
        """What an overdue session owns stays its own until it is fenced."""
        mortal = await hub.join(mortal=True)
        await hub.create("one")
        claimed = await hub.claim_one(mortal)
        await hub.wait(2)
        assert await hub.claim() == ()
        assert await hub.do(turn(claimed), session=mortal) != [NotOwner()]

    @requirement("SES-21")
    async def test_fenced_owners_turn_is_not_written_after_take_over(self, hub: Hub) -> None:
        """After a take-over only the new owner's turn is written, and timers are intact."""
        mortal = hub.session = await hub.join(mortal=True)
        due_at = await hub.backend.now()
        await hub.commit(await hub.owned(), timers=(timer(1, due_at),))
        claimed = await hub.claim_one()
        successor = await hub.fence(mortal)
        again = await hub.claim_one(successor)
        assert again.timers == claimed.timers
        with pytest.raises(SessionFencedError):
            await hub.do(turn(claimed, history=(b"zombie",)), session=mortal)
        await hub.do(turn(again, history=(b"heir",)), session=successor)
        assert list(await hub.probe.history(key("one"))) == [b"turn", b"heir"]
        assert await hub.do(delivery("one", "on"), session=successor) == [Delivered()]

    @requirement("SES-22", needs="multi_process")
    async def test_heartbeat_tells_truly_when_another_session_is_overdue(self, hub: Hub) -> None:
        """If a heartbeat tells when the next other session is overdue, one sent at that moment fences it."""
        before = await hub.backend.now()
        mortal = await hub.join(mortal=True)
        after = await hub.backend.now()
        beat = await hub.backend.heartbeat(hub.session)
        if beat.next_overdue_at is not None:
            latest = after + hub.moment + timedelta(milliseconds=1)
            assert before + hub.moment <= beat.next_overdue_at <= latest
            await hub.harness.advance(beat.next_overdue_at - beat.now)
            beat = await hub.backend.heartbeat(hub.session)
            assert beat.fenced == (mortal,)
            assert beat.next_overdue_at is None or beat.next_overdue_at > latest
