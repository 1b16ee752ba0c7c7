"""What the kit can't know of: this store's own faults."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from acme_durahub import keys
from acme_durahub.backend import AcmeBackend
from acme_durahub.kv import Store, Transaction
from acme_durahub.settings import AcmeSettings
from durahub.backend import (
    BackendServices,
    CreateInstance,
    Message,
    Purged,
    PurgeInstance,
    Session,
)
from durahub.clock import SystemClock
from durahub.errors import BackendCorruptionError, BackendUnavailableError, SchemaVersionError
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, SessionId

APP, ME = AppId("shop"), SessionId("me")
SERVICES = BackendServices(clock=SystemClock())
BAD, GOOD = InstanceKey(APP, "bad"), InstanceKey(APP, "good")

pytestmark = pytest.mark.asyncio


def creation(key: InstanceKey) -> CreateInstance:
    return CreateInstance(
        key=key,
        name="order",
        execution_id=ExecutionId(key.instance_id),
        created_at=datetime.now(UTC),
        start=Message(payload=b"start"),
    )


@pytest.fixture
def settings(tmp_path: Path) -> AcmeSettings:
    return AcmeSettings(path=tmp_path / "deep" / "hub.lmdb", busy_timeout_s=0.5)


@pytest_asyncio.fixture
async def backend(settings: AcmeSettings) -> AsyncIterator[AcmeBackend]:
    """A backend with two instances that are due; the document of the first is damaged."""
    backend = AcmeBackend(settings)
    await backend.open(SERVICES)
    await backend.create_hub()
    life = timedelta(minutes=1)
    await backend.register(Session(session_id=ME, app_id=APP, time_to_live=life, holder="test"))
    await backend.apply(ME, [creation(BAD), creation(GOOD)])
    await write(settings, keys.INSTANCES + keys.instance_address(BAD), b"{")
    yield backend
    await backend.close()


async def write(settings: AcmeSettings, key: bytes, value: bytes) -> None:
    store = Store(settings, "test")
    await store.open()
    await store.write(lambda txn: txn.put(key, value))
    await store.close()


async def test_damaged_instance_is_shown_and_stops_no_other(backend: AcmeBackend) -> None:
    bad, good = await backend.get([BAD, GOOD])
    assert bad is not None
    assert bad.record.status is RuntimeStatus.STALLED
    assert "does not decode" in (bad.record.parked_reason or "")
    assert good is not None
    (claimed,) = (await backend.claim_instances(ME, 10)).instances
    assert claimed.record == good.record


async def test_damaged_instance_can_be_purged_by_force_and_its_id_used_again(
    backend: AcmeBackend,
) -> None:
    assert (await backend.apply(ME, [PurgeInstance(key=BAD, force=True)])).results == (Purged(),)
    assert await backend.get([BAD]) == (None,)
    await backend.apply(ME, [creation(BAD)])
    claims = await backend.claim_instances(ME, 10)
    # Once each, though the index still has an entry of the damaged one.
    assert sorted(one.record.key for one in claims.instances) == [BAD, GOOD]


async def test_call_that_waits_too_long_for_others_says_so(
    backend: AcmeBackend, settings: AcmeSettings
) -> None:
    release, is_held = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        is_held.set()
        release.wait(30)

    store = Store(settings, "other")
    await store.open()
    try:
        with pytest.raises(BackendUnavailableError):
            await store.write(hold)
        assert is_held.is_set()
        with pytest.raises(BackendUnavailableError, match="locked for too long"):
            await backend.heartbeat(ME)
    finally:
        release.set()
        await store.close()
    await backend.heartbeat(ME)


async def test_full_map_is_an_outage_and_no_damage(settings: AcmeSettings) -> None:
    small = settings.model_copy(update={"map_size_mib": 1})
    store = Store(small, "small")
    await store.open()
    with pytest.raises(BackendUnavailableError, match="mapSizeMib"):
        await store.write(lambda txn: txn.put(b"big", bytes(2**21)))
    await store.write(lambda txn: txn.put(b"small", b"x"))
    await store.close()


async def test_newer_schema_is_refused(settings: AcmeSettings) -> None:
    await write(settings, keys.SCHEMA, keys.number(2))
    with pytest.raises(SchemaVersionError, match="newer version"):
        await AcmeBackend(settings).open(SERVICES)


async def test_file_of_something_else_is_refused(settings: AcmeSettings) -> None:
    settings.path.parent.mkdir()
    settings.path.write_bytes(b"SQLite format 3\0" * 1000)
    with pytest.raises(BackendCorruptionError, match="not of LMDB"):
        await AcmeBackend(settings).open(SERVICES)
