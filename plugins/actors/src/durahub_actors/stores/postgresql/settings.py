"""What a PostgreSQL state store is told."""

from __future__ import annotations

import re
import shlex
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

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,49}")


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
    schema: str = "durahub_state"
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

    Raises:
        ConfigError: It is neither; the message repeats nothing of it.
    """
    if connection_string.startswith(("postgres://", "postgresql://")):
        parts = urlsplit(connection_string)
        kept = [pair for pair in parse_qsl(parts.query) if pair[0] in _OPTIONS]
        return parts._replace(query=urlencode(kept)).geturl()
    try:
        words = shlex.split(connection_string)
        pairs = [word.split("=", 1) for word in words]
        known = {name: value for name, value in pairs if name in _OPTIONS}
    except ValueError:
        known = {}
    if not known:
        raise ConfigError(
            "connectionString is neither a URL such as postgresql://user@host:5432/database nor of the form"
            " host=… user=… password=… port=5432 database=…"
        )
    address = known.pop("hostaddr", None)
    if address is not None:
        known["host"] = address
    database = known.pop("database", None)
    if database is not None:
        known["dbname"] = database
    return f"postgresql:///?{urlencode(known)}"
