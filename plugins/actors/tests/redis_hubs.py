"""Task hubs in Redis that tests have for themselves."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

from durahub_actors.stores.redis import RedisSettings, RedisStateStore


def redis_settings(url: str, **more: Any) -> RedisSettings:
    """Return settings for a task hub that nobody else uses, at a URL of a fixture."""
    parsed = urlsplit(url)
    address = parsed.netloc.rpartition("@")[2]
    return RedisSettings.model_validate(
        {
            "redisHost": address,
            "redisUsername": parsed.username or "",
            "redisPassword": parsed.password or "",
            "redisType": "cluster" if "cluster" in parsed.scheme else "node",
            "taskHub": f"test-{uuid.uuid4().hex}",
            **more,
        }
    )


def redis_store(url: str, **more: Any) -> RedisStateStore:
    """Return a store on a task hub that nobody else uses, not open."""
    return RedisStateStore(redis_settings(url, **more))
