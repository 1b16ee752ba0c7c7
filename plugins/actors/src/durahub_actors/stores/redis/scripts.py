"""The scripts that run in the server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_NAMES = ("save", "read", "due", "join", "end", "leases", "ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script as the server knows it.

    Attributes:
        text: What the server loads.
        digest: What the server calls it.
    """

    text: bytes
    digest: str


@cache
def load_script(name: str) -> Script:
    """Return a script of this package, with what all scripts share.

    Args:
        name: Its name, such as `save`.
    """
    folder = files("durahub_actors.stores.redis") / "lua"
    text = b"\n".join((folder / f"{part}.lua").read_bytes() for part in ("common", name))
    return Script(text=text, digest=hashlib.sha1(text, usedforsecurity=False).hexdigest())


def load_scripts() -> None:
    """Read all scripts, so that `load_script` does not block any more."""
    for name in _NAMES:
        load_script(name)
