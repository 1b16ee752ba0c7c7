"""What a PostgreSQL state store is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from durahub.errors import ConfigError

_OPTIONS = frozenset(
    {
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "dbname",
        "database",
        "passfile",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "target_session_attrs",
    }
)
"""What of a connection string reaches the driver; others are of other drivers."""

_NAMES = {"hostaddr": "host", "database": "dbname"}

_WORD = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)", re.ASCII | re.DOTALL)
_WORDS = re.compile(rf"\s*(?:{_WORD.pattern}(?:\s+|$))+", re.ASCII | re.DOTALL)

_PORT = re.compile(r"\d{1,5}", re.ASCII)
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(:\d{1,5})?", re.ASCII)

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,49}", re.ASCII)

DEFAULT_SCHEMA = "durahub_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresStoreSettings:
    """Settings of a PostgreSQL state store.

    Attributes:
        url: Where the database is, as `postgresql://…`; holds secrets and is never shown.
        schema: The schema that holds the tables, and nothing else.
        pool_size: Most connections at the same time.
        timeout_s: Seconds after which a connection attempt, and a statement, is given up.
        prepares: Whether statements are prepared on connections; not behind poolers of transactions.
    """

    url: str = field(repr=False)
    schema: str = DEFAULT_SCHEMA
    pool_size: int = 4
    timeout_s: float = 20.0
    prepares: bool = True

    def __post_init__(self) -> None:
        """Check the schema's name, which becomes part of statements.

        Raises:
            ConfigError: It is not a plain name.
        """
        is_reserved = self.schema in {"public", "information_schema"}
        if is_reserved or self.schema.startswith("pg_") or not _SCHEMA.fullmatch(self.schema):
            raise ConfigError(
                "a state store has a schema of its own; its name holds a-z, 0-9 and _, begins with no"
                " digit, and has at most 50 characters"
            )

    @property
    def place(self) -> str:
        """Where the store is, for people, without user and password."""
        parsed = urlsplit(self.url)
        query = dict(parse_qsl(parsed.query))
        host = parsed.netloc.rpartition("@")[2] or query.get("host", "")
        database = parsed.path.lstrip("/") or query.get("dbname", query.get("database", ""))
        return f"postgresql://{host}/{database}?schema={self.schema}"


def parse_url(connection_string: str) -> str:
    """Return the URL that a connection string means, which may also be `host=… user=…`.

    Options that drivers of other languages know are left out.

    Raises:
        ConfigError: It is neither; the message repeats nothing of it.
    """
    if connection_string.startswith(("postgres://", "postgresql://")):
        return _checked_url(connection_string)
    if _WORDS.fullmatch(connection_string) is None:
        raise ConfigError(
            "connectionString is neither a URL such as postgresql://user@host:5432/database nor of the form"
            " host=… user=… password=… port=5432 database=…"
        )
    pairs = [(name, _unquoted(value)) for name, value in _WORD.findall(connection_string)]
    known = {_NAMES.get(name, name): value for name, value in pairs if name in _OPTIONS}
    return _checked_url(f"postgresql:///?{urlencode(known)}")


def _unquoted(value: str) -> str:
    inner = value[1:-1] if value.startswith("'") else value
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


def _checked_url(url: str) -> str:
    """Refuse what the driver would fail on, repeating what may be a misplaced password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError("connectionString is no URL") from None
    pairs = [pair for pair in parse_qsl(parts.query) if pair[0] in _OPTIONS]
    if parts.fragment or "@" in parts.path:
        raise ConfigError(
            "connectionString: a user or a password holds a character that means something in a URL;"
            " write it as %XX, such as %40 for @, %2F for / and %23 for #"
        )
    hosts = parts.netloc.rpartition("@")[2]
    ports = [port for name, value in pairs if name == "port" for port in value.split(",")]
    are_hosts = not hosts or all(map(_HOST.fullmatch, hosts.split(",")))
    if not are_hosts or not all(map(_PORT.fullmatch, ports)):
        raise ConfigError(
            "connectionString: hosts are written host:port, and a port is a number; a user and a password"
            " stand before an @"
        )
    query = f"?{urlencode(pairs)}" if pairs else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path or '/'}{query}"
