"""The state store on Redis and Valkey."""

from durahub_actors.stores.redis.settings import RedisSettings
from durahub_actors.stores.redis.store import RedisStateStore

__all__ = ["RedisSettings", "RedisStateStore"]
