"""What `storeConfiguration` may hold for the Postgres backend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, LiteralString
from urllib.parse import SplitResult, parse_qsl, urlsplit

from durahub.backend import DEFAULT_SESSION_TIME_TO_LIVE, BackendSettings
from pydantic import AliasGenerator, ConfigDict, Field, SecretStr, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

_OPTIONS = frozenset(
    {
        "dbname",
        "host",
        "passfile",
        "password",
        "port",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslpassword",
        "sslrootcert",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "target_session_attrs",
        "user",
    }
)

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

_PORT = re.compile(r"\d{1,5}", re.ASCII)
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(:\d{1,5})?", re.ASCII)

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,49}", re.ASCII)

Seconds = Annotated[float, Field(gt=0, le=3600)]


class PostgresSettings(BackendSettings):
    """Settings of the Postgres backend.

    Attributes:
        connection_string: A libpq URL such as `postgresql://user@host:5432/database?sslmode=verify-full`.
            What it leaves out comes from `PGPASSWORD` and its like, as with every client of Postgres.
        schema_name: The task hub: the schema that holds its tables, and nothing else. `schema` in the file.
        pool_size: Most connections at the same time, besides the one that listens.
        statement_timeout: Seconds after which a statement is given up.
        connect_timeout: Seconds after which an attempt to connect is given up.
        session_time_to_live: Seconds that a sidecar may be silent before others take over what it owns.
        auto_migrate: Whether `create_hub` creates and upgrades the schema; otherwise it only checks it.
        notifications: Whether sessions listen for what others leave. `auto`: unless a connection pooler
            is between, such as pgbouncer in transaction mode, behind which nobody can listen.
    """

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True
    )

    connection_string: SecretStr
    schema_name: Annotated[str, Field(validation_alias="schema")] = "durahub"
    pool_size: Annotated[int, Field(ge=2, le=1000)] = 8
    statement_timeout: Seconds = 30.0
    connect_timeout: Seconds = 10.0
    session_time_to_live: Annotated[float, Field(ge=1, le=3600)] = (
        DEFAULT_SESSION_TIME_TO_LIVE.total_seconds()
    )
    auto_migrate: bool = True
    notifications: Literal["auto", "on", "off"] = "auto"

    @field_validator("connection_string")
    @classmethod
    def _check_connection_string(cls, value: SecretStr) -> SecretStr:
        parsed = _split(value.get_secret_value())
        unknown = {name for name, _ in parse_qsl(parsed.query, keep_blank_values=True)} - _OPTIONS
        if "connect_timeout" in unknown:
            raise _mistake("write connectTimeout beside the URL instead of connect_timeout in it")
        _check_hosts(parsed)
        if unknown:
            raise _mistake(
                "the URL has an option after '?' that is not known here;"
                " known are the ssl options, target_session_attrs, and the parts of an address"
            )
        return value

    @field_validator("schema_name")
    @classmethod
    def _check_schema(cls, value: str) -> str:
        reserved = value in {"public", "information_schema"} or value.startswith("pg_")
        if reserved or _SCHEMA.fullmatch(value) is None:
            raise _mistake(
                "a task hub has a schema of its own, not public and none of Postgres's own;"
                " its name holds a-z, 0-9 and _, begins with no digit, and has at most 50 characters"
            )
        return value

    @property
    def place(self) -> str:
        """Where the task hub is, for people, without user and password."""
        parsed = _split(self.connection_string.get_secret_value())
        query = dict(parse_qsl(parsed.query))
        host = parsed.netloc.rpartition("@")[2] or query.get("host", "")
        database = parsed.path.lstrip("/") or query.get("dbname", "")
        return f"postgres://{host}/{database}?schema={self.schema_name}"

    @property
    def certificates(self) -> tuple[Path, ...]:
        """The files that the URL names for secure connections."""
        query = dict(parse_qsl(_split(self.connection_string.get_secret_value()).query))
        return tuple(Path(query[name]) for name in _FILES if name in query)


def _split(url: str) -> SplitResult:
    try:
        parsed = urlsplit(url)
    except ValueError:
        raise _mistake("this is no URL; write postgresql://user@host:5432/database") from None
    if parsed.fragment or "@" in parsed.path + parsed.query:
        raise _mistake(
            "a user or a password holds a character that means something in a URL;"
            " write it as %XX, such as %40 for @, %2F for / and %23 for #"
        )
    if parsed.scheme not in {"postgres", "postgresql"}:
        raise _mistake("write a URL such as postgresql://user@host:5432/database?sslmode=require")
    return parsed


def _check_hosts(parsed: SplitResult) -> None:
    # The driver would fail on it in an unforeseen way, and repeat what may be a misplaced password.
    hosts = parsed.netloc.rpartition("@")[2]
    ports = [value for name, value in parse_qsl(parsed.query) if name == "port"]
    are_hosts = not hosts or all(map(_HOST.fullmatch, hosts.split(",")))
    if not are_hosts or not all(
        _PORT.fullmatch(port) for text in ports for port in text.split(",")
    ):
        raise _mistake(
            "hosts are written host:port, and a port is a number; a user and a password stand before an @"
        )


def _mistake(message: LiteralString) -> PydanticCustomError:
    # A constant text: what quotes the value would be masked where it is shown.
    return PydanticCustomError("postgres", message)
