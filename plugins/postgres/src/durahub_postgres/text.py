"""Texts as Postgres can hold them: everything but NUL.

A text without NUL and without the escape character is stored as it is, so that SQL shows and finds it;
in others the two are escaped. Order and equality of bytes are kept apart: distinct texts stay distinct.
"""

from __future__ import annotations

from typing import overload

_ESCAPE = "\x01"
_NUL = _ESCAPE + "0"
_LITERAL = _ESCAPE + "1"


@overload
def to_stored(text: str) -> str: ...
@overload
def to_stored(text: None) -> None: ...
@overload
def to_stored(text: str | None) -> str | None: ...
def to_stored(text: str | None) -> str | None:
    """Return a text as it is stored; None stays None."""
    if text is None or ("\0" not in text and _ESCAPE not in text):
        return text
    return text.replace(_ESCAPE, _LITERAL).replace("\0", _NUL)


@overload
def from_stored(stored: str) -> str: ...
@overload
def from_stored(stored: None) -> None: ...
@overload
def from_stored(stored: str | None) -> str | None: ...
def from_stored(stored: str | None) -> str | None:
    """Return the text that was stored; inverse of `to_stored`."""
    if stored is None or _ESCAPE not in stored:
        return stored
    return stored.replace(_NUL, "\0").replace(_LITERAL, _ESCAPE)
