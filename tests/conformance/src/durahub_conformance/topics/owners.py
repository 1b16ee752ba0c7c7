"""OWN: where it is in flight what an answer names."""

from __future__ import annotations

import pytest
from durahub.backend import CommitActivity, ReleaseActivity
from durahub.errors import SessionFencedError
from durahub.types import AppId, SessionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    APP,
    OTHER_APP,
    continuation,
    creation,
    delivery,
    key,
    message,
    task,
    turn,
)

ODD = 'odd "\\\0%_é'
"""An instance id that no pattern and no text type makes into another one."""


async def schedule(
    hub: Hub, instance_id: str, *task_ids: int, of: SessionId, app_id: AppId = APP
) -> None:
    """Create an instance of a session's application that schedules tasks for an application."""
    source = OTHER_APP if of != hub.session else APP
    await hub.do(creation(instance_id, key=key(instance_id, source)), session=of)
    claimed = await hub.claim_one(of)
    tasks = tuple(task(claimed, number, app_id=app_id) for number in task_ids)
    await hub.do(turn(claimed, activities=tasks), session=of)


async def renew(hub: Hub, instance_id: str, task_id: int) -> None:
    """Have an idle instance continue as new and schedule a task."""
    await hub.do(delivery(instance_id, "go on"))
    await hub.do(continuation(await hub.claim_one()))
    claimed = await hub.claim_one()
    await hub.do(turn(claimed, activities=(task(claimed, task_id),)))


class OwnerRequirements:
    """Requirements of `owners`."""

    @requirement("OWN-01", needs="multi_process")
    async def test_owner_of_an_instance_is_told(self, hub: Hub) -> None:
        """`owners` names the session that owns the application's own instance of an id."""
        owner, foreign = await hub.join(), await hub.join(app_id=OTHER_APP)
        for instance_id in ("one", ODD):
            theirs = creation(instance_id, key=key(instance_id, OTHER_APP))
            await hub.do(theirs, session=foreign)
            await hub.claim_one(foreign)
            assert await hub.backend.owners(hub.session, instance_id, None) == ()
            await hub.create(instance_id)
            assert await hub.backend.owners(hub.session, instance_id, None) == ()
            await hub.claim_one(owner)
            for asker in (hub.session, owner):
                assert await hub.backend.owners(asker, instance_id, None) == (owner,)
            assert await hub.backend.owners(foreign, instance_id, None) == (foreign,)

    @requirement("OWN-02", needs="multi_process")
    async def test_owner_of_an_activity_task_is_told(self, hub: Hub) -> None:
        """`owners` names the session that owns the activity task of an instance id and a number."""
        owner = await hub.join()
        for instance_id in ("one", ODD):
            await schedule(hub, instance_id, 7, of=hub.session)
            await hub.owned(f"{instance_id} more")
            assert await hub.backend.owners(hub.session, instance_id, 7) == ()
            assert len(await hub.claim_tasks(session=owner)) == 1
            for asker in (hub.session, owner):
                assert await hub.backend.owners(asker, instance_id, 7) == (owner,)
            for name, number in ((instance_id, 8), (f"{instance_id} more", 7), ("other", 7)):
                assert await hub.backend.owners(hub.session, name, number) == ()
            assert await hub.backend.owners(hub.session, instance_id, None) == ()

    @requirement("OWN-03", needs="multi_process")
    async def test_all_whom_a_name_may_mean_are_told(self, hub: Hub) -> None:
        """`owners` names the owners of such a task of each generation and each application's instance, once."""
        one, two, three = [await hub.join() for _ in range(3)]
        stranger = await hub.join(app_id=OTHER_APP)
        await schedule(hub, "one", 1, of=hub.session)
        assert len(await hub.claim_tasks(session=one)) == 1
        await renew(hub, "one", 1)
        assert len(await hub.claim_tasks(session=two)) == 1
        assert set(await hub.backend.owners(hub.session, "one", 1)) == {one, two}
        await schedule(hub, "one", 1, of=stranger)
        assert len(await hub.claim_tasks(session=three)) == 1
        await renew(hub, "one", 1)
        assert len(await hub.claim_tasks(session=two)) == 1
        owners = await hub.backend.owners(hub.session, "one", 1)
        assert sorted(owners) == sorted((one, two, three))

    @requirement("OWN-04", needs="multi_process")
    async def test_only_tasks_for_the_application_count(self, hub: Hub) -> None:
        """`owners` names no session of another application, which runs what instances here schedule."""
        foreign = await hub.join(app_id=OTHER_APP)
        await schedule(hub, "one", 1, of=hub.session, app_id=OTHER_APP)
        assert len(await hub.claim_tasks(session=foreign)) == 1
        assert await hub.backend.owners(hub.session, "one", 1) == ()
        assert await hub.backend.owners(foreign, "one", 1) == (foreign,)

    @requirement("OWN-05", needs="multi_process")
    async def test_what_was_given_back_has_no_owner(self, hub: Hub) -> None:
        """What was committed or released, and what an ended or fenced session owned, has no owner."""
        await schedule(hub, "one", 1, 2, of=hub.session)
        done, released = await hub.claim_tasks()
        await hub.do(CommitActivity(task=done.key, result=message("result")))
        await hub.do(ReleaseActivity(task=released.key))
        assert await hub.backend.owners(hub.session, "one", 1) == ()
        assert await hub.backend.owners(hub.session, "one", 2) == ()
        await hub.commit(await hub.claim_one())
        assert await hub.backend.owners(hub.session, "one", None) == ()
        mortal, leaving = await hub.join(mortal=True), await hub.join()
        for owner in (leaving, mortal):
            await hub.create(str(owner))
            await hub.claim_one(owner)
            assert await hub.backend.owners(hub.session, str(owner), None) == (owner,)
        await hub.claim_tasks(session=mortal)
        assert await hub.backend.owners(hub.session, "one", 2) == (mortal,)
        await hub.backend.unregister(leaving)
        await hub.fence(mortal)
        for owner in (leaving, mortal):
            assert await hub.backend.owners(hub.session, str(owner), None) == ()
        assert await hub.backend.owners(hub.session, "one", 2) == ()

    @requirement("OWN-06", needs="multi_process")
    async def test_fenced_session_is_told_of_no_owners(self, hub: Hub) -> None:
        """`owners` raises `SessionFencedError` if the session that asks is not alive."""
        await hub.owned()
        mortal = await hub.join(mortal=True)
        await hub.fence(mortal)
        for asker in (mortal, SessionId("unknown")):
            for task_id in (None, 1):
                with pytest.raises(SessionFencedError):
                    await hub.backend.owners(asker, "one", task_id)
