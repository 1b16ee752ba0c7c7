"""What a SQLite state store is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStoreSettings:
    """Settings of a SQLite state store.

    Attributes:
        path: The file, whose directory is created if it is missing; None for memory.
        synchronous: `full` makes every acknowledged write survive a power cut. With `normal` a power cut
            may undo the last moments; a crash of the process does not.
        busy_timeout: How long a call waits for other processes before it is unavailable.
    """

    path: Path | None
    synchronous: Literal["full", "normal"] = "full"
    busy_timeout: timedelta = timedelta(seconds=5)
