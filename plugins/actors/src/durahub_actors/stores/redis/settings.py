"""What may be said of a Redis state store: the metadata of Dapr's `state.redis`, under the same names."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from durahub.backend import BackendSettings
from pydantic import (
    AliasGenerator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

_HUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_DEFAULT_PORT = 6379
_HIGHEST_PORT = 65535

_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)")


def _to_seconds(value: Any) -> Any:
    """Return seconds for a duration as Dapr writes it: `3s`, `1m30s`, or milliseconds without a unit."""
    if isinstance(value, str):
        if value.strip().isdecimal():
            return int(value) / 1000
        parts = _PART.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value.strip():
            return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
        raise PydanticCustomError("redis", "write a duration such as 3s, 500ms or 1m30s")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000
    return value


Seconds = Annotated[float, BeforeValidator(_to_seconds), Field(gt=0, le=3600)]

_NAMES = {
    "redis_db": "redisDB",
    "enable_tls": "enableTLS",
    "use_entra_id": "useEntraID",
}

_WITHOUT_EFFECT = frozenset(
    {
        "actorstatestore",
        "idlecheckfrequency",
        "idletimeout",
        "keyprefix",
        "maxconnage",
        "maxretries",
        "maxretrybackoff",
        "minidleconns",
        "outboxdiscardwhenmissingstate",
        "pooltimeout",
        "processingtimeout",
        "queryindexes",
        "redeliverinterval",
        "redismaxretries",
        "redismaxretryinterval",
        "redisminretryinterval",
        "ttlinseconds",
        "writetimeout",
    }
)
"""What Dapr knows and what changes nothing here, in lower case. The sidecar itself repeats what failed."""


def _name(field: str) -> str:
    first, *others = field.split("_")
    return _NAMES.get(field, first + "".join(part.capitalize() for part in others))


class RedisSettings(BackendSettings):
    """Settings of a Redis or Valkey state store.

    Numbers, durations and yes or no may be texts, as in Dapr's components. Names that Dapr knows and that
    mean nothing here are accepted.

    Attributes:
        redis_host: `host:port`, or several with commas: nodes of a cluster, or sentinels.
        redis_username: The user of the server's access control list; empty for the default one.
        redis_password: Its password; empty for none.
        redis_db: Number of the database; a cluster has only 0.
        redis_type: `node`, or `cluster` for Redis Cluster.
        failover: Whether `redis_host` names sentinels, which know where the primary is.
        sentinel_master_name: What the sentinels call it.
        sentinel_username: The user of the sentinels, if they have one.
        sentinel_password: The password of the sentinels, if they have one.
        use_entra_id: Not supported; false.
        enable_tls: Whether connections are secure; certificates are checked, always.
        ca_cert: PEM of the authorities to trust instead of the system's.
        client_cert: PEM of our certificate, if the server asks for one.
        client_key: PEM of its key.
        dial_timeout: Seconds after which an attempt to connect is given up.
        read_timeout: Seconds after which an answer is no longer waited for.
        pool_size: Most connections to each node at the same time.
        task_hub: With which name all keys begin. Stores with the same name share their state.
    """

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_name), populate_by_name=True
    )

    redis_host: str
    redis_username: str = ""
    redis_password: SecretStr = SecretStr("")
    redis_db: Annotated[int, Field(ge=0)] = 0
    redis_type: Literal["node", "cluster"] = "node"
    failover: bool = False
    sentinel_master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: SecretStr = SecretStr("")
    use_entra_id: bool = False
    enable_tls: bool = False
    ca_cert: str = ""
    client_cert: str = ""
    client_key: SecretStr = SecretStr("")
    dial_timeout: Seconds = 5.0
    read_timeout: Seconds = 3.0
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 8
    task_hub: str = "durahub"

    @model_validator(mode="before")
    @classmethod
    def _read_as_dapr(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # Dapr takes names in any case, and its examples leave what is not needed empty.
        known = {_name(field).lower(): _name(field) for field in cls.model_fields}
        named = {known.get(str(key).lower(), key): value for key, value in data.items()}
        return {
            key: value
            for key, value in named.items()
            if str(key).lower() not in _WITHOUT_EFFECT and (value != "" or key == "redisHost")
        }

    @field_validator("redis_host")
    @classmethod
    def _check_addresses(cls, value: str) -> str:
        parse_addresses(value)
        return value

    @field_validator("task_hub")
    @classmethod
    def _check_task_hub(cls, value: str) -> str:
        if _HUB.fullmatch(value) is None:
            raise PydanticCustomError(
                "redis",
                "a task hub's name holds letters, digits, '_', '.' and '-', begins with a letter or a"
                " digit, and has at most 64 characters",
            )
        return value

    @model_validator(mode="after")
    def _check_together(self) -> RedisSettings:
        if self.failover and not self.sentinel_master_name:
            raise PydanticCustomError("redis", "failover needs sentinelMasterName")
        if self.failover and self.redis_type == "cluster":
            raise PydanticCustomError("redis", "a cluster has no sentinels: remove failover")
        if self.redis_type == "cluster" and self.redis_db:
            raise PydanticCustomError("redis", "a cluster has only the database 0: remove redisDB")
        if self.use_entra_id:
            raise PydanticCustomError(
                "redis", "useEntraID is not supported: use a user and a password"
            )
        if bool(self.client_cert) != bool(self.client_key.get_secret_value()):
            raise PydanticCustomError("redis", "clientCert and clientKey belong together")
        return self

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports."""
        return parse_addresses(self.redis_host)

    @property
    def place(self) -> str:
        """Where the state is, for people, without user and password."""
        scheme = "rediss" if self.enable_tls else "redis"
        hosts = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.addresses)
        kind = "+sentinel" if self.failover else "+cluster" if self.redis_type == "cluster" else ""
        return f"{scheme}{kind}://{hosts}/{self.redis_db}?taskHub={self.task_hub}"


def parse_addresses(text: str) -> tuple[tuple[str, int], ...]:
    """Return hosts and ports of `host:port,host:port`; the port may be missing, `[::1]:6379` is IPv6.

    Raises:
        PydanticCustomError: It is no such text.
    """
    return tuple(_parse_address(part.strip()) for part in text.split(","))


def _parse_address(text: str) -> tuple[str, int]:
    if "/" in text or "@" in text:
        raise PydanticCustomError(
            "redis", "write host:port without a scheme; user and password have keys of their own"
        )
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, str(_DEFAULT_PORT)
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT
    if not host.strip("[]") or not is_port:
        raise PydanticCustomError("redis", "write host:port, or several with commas between them")
    return host.strip("[]"), int(port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
