"""What `storeConfiguration` may hold for the SQLite backend."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, LiteralString

from durahub.backend import BackendSettings
from pydantic import AliasGenerator, ConfigDict, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

MEMORY = ":memory:"


class SqliteSettings(BackendSettings):
    """Settings of the SQLite backend.

    Attributes:
        connection_string: Where the file is: `sqlite:///relative.db`, `sqlite:////absolute.db`, or a plain
            path. `sqlite://` and `:memory:` keep everything in memory, until the process ends. A missing
            parent directory is created, readable by its owner only.
        synchronous: `full` makes every acknowledged write survive a power cut. `normal` saves the fsync
            of each commit: a power cut may then undo the last moments, a crash of the process does not.
    """

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True
    )

    connection_string: str = "sqlite:///durahub.db"
    synchronous: Literal["full", "normal"] = "full"

    @field_validator("connection_string")
    @classmethod
    def _check_connection_string(cls, value: str) -> str:
        parse_path(value)
        return value

    @property
    def path(self) -> Path | None:
        """The file; None for memory."""
        return parse_path(self.connection_string)


def parse_path(connection_string: str) -> Path | None:
    """Return the path that a connection string names, None for memory.

    Raises:
        PydanticCustomError: It names neither; the message says what to write instead, and repeats nothing.
    """
    text = connection_string
    if text in ("sqlite://", MEMORY, f"sqlite:///{MEMORY}"):
        return None
    if "\0" in text:
        raise _mistake("a path holds no NUL character")
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
        if "?" in text:
            raise _mistake("options after '?' are not supported; write only the path")
    elif "://" in text or text.startswith(("file:", "sqlite:")):
        raise _mistake(
            "a text with this scheme is no SQLite file; write sqlite:///relative.db,"
            " sqlite:////absolute/path.db, a plain path, or sqlite:// for memory"
        )
    if not text.strip():
        raise _mistake("the path is empty; write sqlite:///durahub.db, or sqlite:// for memory")
    return Path(text)


def _mistake(message: LiteralString) -> PydanticCustomError:
    # A constant text: what quotes the value would be masked where it is shown.
    return PydanticCustomError("connection_string", message)
