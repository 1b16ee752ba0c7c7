"""Task hubs in Redis that tests have for themselves."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from durahub.clock import SystemClock
from durahub_actors.stores import ActorId, Lease, Reminder, Save, Saved
from durahub_actors.stores.redis import RedisSettings, RedisStateStore

WORKFLOW = "dapr.internal.default.app.workflow"
LONG = timedelta(hours=1)


def redis_settings(url: str, **more: Any) -> RedisSettings:
    """Return settings for a task hub that nobody else uses, at a URL of a fixture."""
    parsed = urlsplit(url)
    return RedisSettings.model_validate(
        {
            "redisHost": parsed.netloc.rpartition("@")[2],
            "redisUsername": parsed.username or "",
            "redisPassword": parsed.password or "",
            "redisType": "cluster" if "cluster" in parsed.scheme else "node",
            "taskHub": f"test-{uuid.uuid4().hex}",
            **more,
        }
    )


@asynccontextmanager
async def open_store(settings: RedisSettings) -> AsyncIterator[RedisStateStore]:
    """Open a store on a task hub, which is created, and close it in the end."""
    store = RedisStateStore(settings)
    await store.open(SystemClock())
    try:
        await store.create()
        yield store
    finally:
        await store.close()


async def acquire(store: RedisStateStore, *, lasts: timedelta = LONG) -> str:
    """Return the name of a new lease."""
    name = f"lease-{uuid.uuid4().hex}"
    await store.acquire(Lease(name=name, time_to_live=lasts))
    return name


async def put(store: RedisStateStore, actor_id: str, lease: str, **more: Any) -> None:
    """Save an actor with a value, a mark, and a reminder that a lease holds."""
    save = Save(
        actor=ActorId(WORKFLOW, actor_id),
        leases=(lease,),
        etag=uuid.uuid4().hex,
        put={"metadata": b"\xff"},
        mark={"created": 1},
        remind={"wake": Reminder(queue=WORKFLOW, due_at=await store.now(), take=lease)},
        **more,
    )
    (result,) = await store.write([save])
    assert isinstance(result, Saved), result
