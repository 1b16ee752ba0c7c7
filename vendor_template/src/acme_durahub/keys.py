"""Keys: how the order of a key-value store becomes the order that the contract asks for.

Every key begins with the name of a table, one byte, so that one ordered store holds them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b

from durahub.clock import from_micros, to_micros
from durahub.types import InstanceKey, TaskKey

SCHEMA = b"!"
"""The schema version."""

COUNTER = b"#"
"""The last position given out."""

SESSIONS = b"s"
"""Session -> `SessionRow`; only the living."""

USED = b"u"
"""Session -> nothing; every session id that ever was."""

INSTANCES = b"i"
"""Instance -> `InstanceRow`."""

PAYLOADS = b"p"
"""Instance -> `Payloads`."""

HISTORY = b"h"
"""Instance, number -> event."""

INBOX = b"m"
"""Instance, message id -> `StoredMessage`."""

TIMERS = b"t"
"""Instance, due time, timer id -> payload."""

TASKS = b"a"
"""Instance, rest of the task key -> `TaskRow`."""

CREATED = b"c"
"""Index: application, position -> `InstanceEntry`."""

ENDED = b"e"
"""Index: application, status, end, position -> `InstanceEntry`."""

DUE = b"d"
"""Index of the unowned: application, wake-up time, position -> `InstanceEntry`."""

OWNED = b"o"
"""Index: session, instance -> `InstanceEntry`."""

WAITING = b"w"
"""Index of the unowned: application, position -> `TaskEntry`."""

OWNED_TASKS = b"x"
"""Index: session, task -> `TaskEntry`."""

FORWARDED = b"f"
"""Session, position -> payload; what waits for a living session."""

FORWARDED_COUNT = b"n"
"""Session -> how many wait for it."""

_OFFSET = 1 << 63


def number(value: int) -> bytes:
    """Return eight bytes that sort as the numbers do, negative ones too."""
    return (value + _OFFSET).to_bytes(8, "big")


def read_numbers(packed: bytes) -> Iterator[int]:
    """Yield the numbers of which a key, or a part of it, consists."""
    for start in range(0, len(packed), 8):
        yield int.from_bytes(packed[start : start + 8], "big") - _OFFSET


def moment(when: datetime) -> bytes:
    """Return eight bytes that sort as moments do."""
    return number(to_micros(when))


def read_moment(packed: bytes) -> datetime:
    """Return the moment that begins a part of a key."""
    return from_micros(next(read_numbers(packed[:8])))


def digest(*texts: str) -> bytes:
    """Return 20 bytes that stand for some texts: ids may be longer than a key of LMDB can be."""
    hashed = blake2b(digest_size=20)
    for text in texts:
        encoded = text.encode()
        hashed.update(len(encoded).to_bytes(8, "big") + encoded)
    return hashed.digest()


def instance_address(key: InstanceKey) -> bytes:
    """Return what stands for an instance in keys."""
    return digest(*key)


def task_address(key: TaskKey) -> bytes:
    """Return what stands for an activity task in keys; begins with the address of its instance."""
    return instance_address(key.instance) + digest(key.execution_id, str(key.task_id))
