"""CON: several tasks and several processes at the same time, and calls that are cancelled."""

from __future__ import annotations

import asyncio

from durahub_actors.stores import ActorId, Refused, Save, Saved, StateStore

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import Stand

_TASKS = 4


async def _count_up(store: StateStore, actor: ActorId, times: int, name: str) -> None:
    """Add one so many times, each on what is there."""
    for number in range(times):
        saved: object = None
        while not isinstance(saved, Saved):
            (state,) = await store.read([actor], keys=["count"])
            assert state is not None
            count = b"%d" % (int(state.values["count"]) + 1)
            save = Save(
                actor=actor,
                expected=state.etag,
                etag=f"{name}-{number}-{count!r}",
                put={"count": count},
            )
            (saved,) = await store.write([save])


async def _write_both(store: StateStore, actors: list[ActorId], name: str) -> None:
    for number in range(10):
        etag = f"{name}-{number}"
        saves = [
            Save(actor=actor, etag=etag, put={"a": etag.encode()}, mark={"index": number})
            for actor in actors
        ]
        assert await store.write(saves) == tuple(Saved(etag=etag) for _ in actors)


class ConcurrencyLaws:
    """Laws of concurrency and cancellation."""

    @law("CON-01")
    async def test_others_see_what_was_acknowledged(self, stand: Stand) -> None:
        """What one store acknowledged another one sees, and is bound by."""
        other, actor, lease = await stand.another(), stand.actor(), await stand.lease()
        etag = await stand.put(actor, put={"a": b"1"}, mark={"index": 1})
        assert await stand.state(actor, other) == await stand.state(actor)
        (result,) = await other.write([Save(actor=actor, expected=etag, etag="2", leases=(lease,))])
        assert result == Saved(etag="2")
        assert isinstance(await stand.one(actor, expected=etag, etag="3"), Refused)
        await other.release(lease)
        assert isinstance(await stand.one(actor, leases=(lease,), etag="4"), Refused)
        assert await stand.store.leases() == ()

    @law("CON-02")
    async def test_no_update_is_lost(self, stand: Stand) -> None:
        """Of saves that expect the same etag at the same time one is carried out, the rest refused."""
        actor = stand.actor()
        await stand.put(actor, put={"count": b"0"})
        async with asyncio.TaskGroup() as group:
            for number in range(_TASKS):
                group.create_task(_count_up(stand.store, actor, 5, f"task-{number}"))
        assert await stand.values(actor) == {"count": b"%d" % (5 * _TASKS)}

    @law("CON-03")
    async def test_no_update_is_lost_between_processes(self, stand: Stand) -> None:
        """Between processes, too, no update is lost."""
        stores, actor = (stand.store, await stand.another()), stand.actor()
        await stand.put(actor, put={"count": b"0"})
        async with asyncio.TaskGroup() as group:
            for number, store in enumerate(stores):
                group.create_task(_count_up(store, actor, 10, f"process-{number}"))
        assert await stand.values(actor) == {"count": b"20"}

    @law("CON-04")
    async def test_one_of_many_holds_a_reminder(self, stand: Stand) -> None:
        """Of all that want to hold a free reminder at the same time exactly one does."""
        stores = (stand.store, await stand.another())
        leases = (await stand.lease(), await stand.lease())
        found = [await stand.remind(stand.actor()) for _ in range(20)]

        async def claim(store: StateStore, lease: str) -> int:
            saves = [
                Save(actor=home, leases=(lease,), held={name: None}, hold={name: lease})
                for home, name in found
            ]
            parts = [store.write(saves[start : start + 5]) for start in range(0, len(saves), 5)]
            results = [result for part in await asyncio.gather(*parts) for result in part]
            return sum(isinstance(result, Saved) for result in results)

        counts = await asyncio.gather(*map(claim, stores, leases))
        held = [await stand.held(lease) for lease in leases]
        assert sum(counts) == len(found)
        assert [len(names) for names in held] == list(counts)
        assert held[0] | held[1] == set(found)

    @law("CON-05")
    async def test_calls_about_the_same_actors_do_not_block(self, stand: Stand) -> None:
        """Calls about the same actors in different orders at the same time all succeed."""
        stores = (stand.store, await stand.another())
        actors = [stand.actor() for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            for number, store in enumerate(stores * 2):
                order = actors if number % 2 else actors[::-1]
                group.create_task(_write_both(store, order, f"writer-{number}"))
        assert [rank for rank, _ in await stand.marked()] == [9] * 5

    @law("CON-06")
    async def test_end_of_a_lease_is_told_to_one(self, stand: Stand) -> None:
        """An overdue lease that several end at the same time is told to exactly one of them."""
        stores = (stand.store, await stand.another())
        watchers = [await stand.lease() for _ in stores]
        mortals = [await stand.mortal() for _ in range(5)]
        homes = {await stand.remind(stand.actor(), take=mortal) for mortal in mortals}
        await stand.wait(3)
        beats = await asyncio.gather(
            *(store.renew([name]) for store, name in zip(stores * 2, watchers * 2, strict=True))
        )
        ended = [lease.name for beat in beats for lease in beat.ended]
        assert sorted(ended) == sorted(mortals)
        assert set(await stand.due()) == homes

    @law("CON-07")
    async def test_saves_race_with_the_end_of_their_lease(self, stand: Stand) -> None:
        """No save on behalf of a lease takes effect after its end, so what it took is free."""
        other = await stand.another()
        for _ in range(5):
            lease = await stand.lease()
            actors = [stand.actor() for _ in range(10)]
            reminder = await stand.reminder(queue=lease, take=lease)
            saves = [
                Save(actor=actor, leases=(lease,), remind={"wake": reminder}) for actor in actors
            ]
            writes = [stand.store.write([save]) for save in saves]
            writing = asyncio.gather(*writes)
            await asyncio.gather(writing, other.release(lease))
            results = writing.result()
            saved = [isinstance(result, Saved) for (result,) in results]
            assert await stand.held(lease) == set()
            assert len(await stand.due(lease)) == sum(saved)

    @law("CON-08")
    async def test_cancelled_save_is_complete_or_not_there(self, stand: Stand) -> None:
        """A cancelled call has carried out each save completely or not at all, and the store works on."""
        reminder = await stand.reminder()
        for turns in (0, 1, 2, 5, 20, 100):
            actors = [stand.actor() for _ in range(20)]
            put = {f"key-{number}": b"v" for number in range(20)}
            writing = asyncio.ensure_future(
                stand.store.write(
                    [
                        Save(
                            actor=actor, etag="e", put=put, mark={"m": 1}, remind={"wake": reminder}
                        )
                        for actor in actors
                    ]
                )
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            # Behind whatever goes on in the background.
            await stand.put(actors[0], delete=("missing",))
            for actor in actors[1:]:
                values = await stand.values(actor)
                assert values in (None, put)
                expected = 0 if values is None else 1
                assert len(await stand.store.reminders(actor)) == expected
                marked = await stand.store.marked("type", "m", after=(0, ""), limit=1000, key="")
                assert [each.id for each in marked].count(actor.id) == expected

    @law("CON-09")
    async def test_close_waits_for_what_was_cancelled(self, stand: Stand) -> None:
        """After `close` nothing goes on: what a cancelled call left is complete or not there."""
        other = await stand.another()
        actors = [stand.actor() for _ in range(50)]
        saves = [Save(actor=actor, etag="e", put={"a": b"1", "b": b"2"}) for actor in actors]
        writing = asyncio.ensure_future(stand.store.write(saves))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await stand.store.close()
        first = await other.read(actors, prefixes=[""])
        await asyncio.sleep(0.05)
        assert await other.read(actors, prefixes=[""]) == first
        assert {len(state.values) for state in first if state is not None} <= {2}
