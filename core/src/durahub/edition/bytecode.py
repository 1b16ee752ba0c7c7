"""Cached bytecode that Python would run in place of a source file whose hash is right.

Bytecode with a time stamp is taken only for a source file of that very second, which nobody knows before
it is installed. Bytecode with a hash names the source's hash, or asks for no comparison at all, so any
distribution can carry some for the modules of another one.
"""

from __future__ import annotations

import importlib.util
import marshal
from pathlib import Path

_HEADER = 16
_IS_HASH_BASED = 1


def is_forged(source: Path) -> bool:
    """Whether Python would take bytecode for a source file that is not what the file compiles to.

    Nothing is run. Time stamps are trusted; bytecode of another Python is none.

    Args:
        source: A `.py` file that can be read.
    """
    try:
        cached = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    except (OSError, NotImplementedError):
        return False
    flags = int.from_bytes(cached[4:8], "little")
    if not cached.startswith(importlib.util.MAGIC_NUMBER) or not flags & _IS_HASH_BASED:
        return False
    try:
        expected = compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
        return bool(marshal.loads(cached[_HEADER:]) != expected)  # noqa: S302 - it is not run
    except (OSError, EOFError, SyntaxError, TypeError, ValueError):
        return True
