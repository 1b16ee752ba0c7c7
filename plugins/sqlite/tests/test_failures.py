"""A full disk, a lost file, damaged rows: a clear error, nothing half done, and on with the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from durahub.backend import (
    BackendServices,
    EndedQuery,
    InstanceCreated,
    InstanceQuery,
    PurgeInstance,
)
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    SessionFencedError,
)
from durahub.types import RuntimeStatus
from durahub_sqlite import SqliteBackend


def writer_of(hub: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = hub.backend._store._writer._opened
    return connection


def damage(hub: Any, *statements: str) -> None:
    with closing(sqlite3.connect(hub.path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def test_full_disk_refuses_the_batch_and_work_goes_on_with_space(hub: Any, make: Any) -> None:
    await hub.apply(make.creation("before"))
    (pages,) = writer_of(hub).execute("PRAGMA page_count").fetchone()
    writer_of(hub).execute(f"PRAGMA max_page_count = {pages + 5}")
    too_much = [make.creation(f"i{n}", input="x" * 5000) for n in range(20)]
    for _ in range(3):
        with pytest.raises(BackendUnavailableError, match="full") as caught:
            await hub.apply(*too_much)
        assert caught.value.retryable
    assert (await hub.backend.get([make.key("before"), make.key("i0")]))[1] is None
    await hub.apply(PurgeInstance(key=make.key("before"), force=True))
    writer_of(hub).execute("PRAGMA max_page_count = 1000000")
    applied = await hub.apply(*too_much)
    assert applied.results == tuple(InstanceCreated(generation=1) for _ in too_much)


async def test_busy_file_is_reported_after_a_bounded_wait(hub: Any, make: Any) -> None:
    writer_of(hub).execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(hub.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailableError, match="another program holds a lock"):
            await hub.apply(make.creation("a"))
    assert (await hub.apply(make.creation("a"))).results == (InstanceCreated(generation=1),)


async def test_lost_lock_file_stops_all_writing(hub: Any, make: Any) -> None:
    hub.path.with_name(hub.path.name + ".lock").unlink()
    with pytest.raises(BackendError, match="the lock file of"):
        await hub.apply(make.creation("a"))


@pytest.mark.parametrize("replaced", [False, True])
async def test_lost_file_stops_all_writing(hub: Any, make: Any, *, replaced: bool) -> None:
    hub.path.rename(hub.path.with_suffix(".away"))
    if replaced:
        hub.path.touch()
    for _ in range(2):
        with pytest.raises(BackendError, match="removed or replaced") as caught:
            await hub.apply(make.creation("a"))
        assert not caught.value.retryable
    await hub.backend.close()


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM history WHERE seq = 0",
        "DELETE FROM history WHERE seq = 1",
        "DELETE FROM history WHERE seq = 2",
        "DELETE FROM history",
        "UPDATE history SET seq = 7 WHERE seq = 2",
        "INSERT INTO history SELECT instance, 3, event FROM history WHERE seq = 0",
    ],
)
async def test_gap_in_history_names_the_instance_and_spares_others(
    hub: Any, make: Any, loss: str
) -> None:
    damaged, sound = await hub.start(make.creation("damaged"), make.creation("sound"))
    events = (b"0", b"1", b"2")
    await hub.apply(make.turn(damaged, history=events), make.turn(sound, history=events))
    damage(hub, loss + (" AND" if "WHERE" in loss else " WHERE") + " instance = 1")
    with pytest.raises(BackendCorruptionError, match="instance 'damaged' of app 'app' has a gap"):
        await hub.backend.history([make.key("sound"), make.key("damaged")])
    (history,) = await hub.backend.history([make.key("sound")])
    assert history.events == events


@pytest.mark.parametrize("harm", ["tags = 'no json'", "last_updated_at = 9000000000000000000"])
async def test_damaged_row_is_shown_as_stalled_with_the_reason(
    hub: Any, make: Any, harm: str
) -> None:
    await hub.apply(make.creation("damaged"), make.creation("sound"))
    damage(hub, f"UPDATE instances SET {harm} WHERE instance = 1")
    (view,) = await hub.backend.get([make.key("damaged")])
    page = await hub.backend.list_instances(InstanceQuery(app_id=make.app))
    assert {record.key for record in page.instances} == {make.key("damaged"), make.key("sound")}
    for record in (view.record, *page.instances):
        is_damaged = record.key == make.key("damaged")
        assert (record.status is RuntimeStatus.STALLED) is is_damaged
        assert ("does not decode" in (record.parked_reason or "")) is is_damaged


async def test_text_that_is_no_text_is_reported_and_spares_others(hub: Any, make: Any) -> None:
    await hub.apply(make.creation("damaged"), make.creation("sound"))
    damage(hub, "UPDATE instances SET name = CAST(x'ff' AS TEXT) WHERE instance = 1")
    with pytest.raises(BackendCorruptionError):
        await hub.backend.get([make.key("damaged")])
    assert (await hub.backend.get([make.key("sound")]))[0] is not None


@pytest.mark.parametrize("harm", ["tags = 'no json'", "created_at = 9000000000000000000"])
@pytest.mark.parametrize("by", ["claim", "apply"])
async def test_damaged_row_is_parked_and_others_go_on(
    hub: Any, make: Any, harm: str, by: str
) -> None:
    await hub.backend.apply(make.session, [make.creation("damaged"), make.creation("sound")])
    damage(hub, f"UPDATE instances SET {harm} WHERE instance = 1")
    if by == "claim":
        claimed = (await hub.backend.claim_instances(make.session, 10)).instances
    else:
        claimed = await hub.start(make.delivery("damaged", b"a"), make.delivery("sound", b"b"))
    assert [one.record.key for one in claimed] == [make.key("sound")]
    claims = await hub.backend.claim_instances(make.session, 10)
    assert (claims.instances, claims.next_due_at) == ((), None)
    with closing(sqlite3.connect(hub.path)) as connection:
        query = "SELECT status, parked_reason FROM instances WHERE instance = 1"
        status, reason = connection.execute(query).fetchone()
    assert status == RuntimeStatus.STALLED
    assert "'damaged'" in reason
    await hub.apply(PurgeInstance(key=make.key("damaged"), force=True))
    assert await hub.backend.get([make.key("damaged")]) == (None,)


@pytest.mark.parametrize("harm", ["tags = 'no json'", "created_at = 9000000000000000000"])
async def test_damaged_row_hides_no_other_end(hub: Any, make: Any, harm: str) -> None:
    claimed = await hub.start(*(make.creation(f"i{number}") for number in range(4)))
    ends = {"status": RuntimeStatus.COMPLETED, "completed_at": make.created_at}
    await hub.apply(*(make.turn(one, **ends) for one in claimed))
    damage(hub, f"UPDATE instances SET {harm} WHERE instance = 1")
    query = EndedQuery(app_id=make.app, status=RuntimeStatus.COMPLETED, limit=2)
    found = await hub.backend.list_ended(query)
    assert [record.key.instance_id for record in found.instances] == ["i1", "i2"]


async def test_log_stays_bounded_under_load(hub: Any, make: Any) -> None:
    log = hub.path.with_name(hub.path.name + "-wal")
    sizes = []
    for batch in range(40):
        await hub.apply(*(make.creation(f"i{batch}-{n}", input="x" * 250_000) for n in range(4)))
        await hub.backend.list_instances(InstanceQuery(app_id=make.app))
        sizes.append(log.stat().st_size)
    assert max(sizes) < 24 * 1024 * 1024
    assert hub.path.stat().st_size > 16 * 1024 * 1024


async def test_number_that_does_not_fit_is_refused_alone_in_its_call(hub: Any, make: Any) -> None:
    (claimed,) = await hub.start(make.creation("a"))
    with pytest.raises(BackendError, match="64 bits"):
        await hub.apply(make.turn(claimed, timers=(make.timer(2**63, hub.clock.now()),)))
    await hub.apply(make.turn(claimed))


async def test_errors_hold_no_payload(hub: Any, make: Any) -> None:
    with pytest.raises(BackendError, match="lone surrogate") as caught:
        await hub.apply(make.creation("a", input="secret\ud800"))
    assert "secret" not in str(caught.value)


async def test_used_session_id_is_refused_and_ends_nobody(hub: Any, make: Any) -> None:
    await hub.backend.unregister(make.session)
    await hub.backend.register(make.registration("session-2"))
    with pytest.raises(BackendError, match="used before"):
        await hub.backend.register(make.registration())
    await hub.backend.heartbeat("session-2")
    with pytest.raises(SessionFencedError):
        await hub.backend.heartbeat(make.session)


async def test_closed_and_unopened_backends_refuse(
    new_backend: Callable[[], SqliteBackend], services: BackendServices, make: Any
) -> None:
    backend = new_backend()
    with pytest.raises(BackendError, match="not open"):
        await backend.now()
    await backend.open(services)
    with pytest.raises(BackendError, match="open already"):
        await backend.open(services)
    await backend.close()
    await backend.close()
    with pytest.raises(BackendError, match="not open"):
        await backend.get([make.key("a")])
