"""Texts as Postgres can hold them: everything but NUL.

A text without NUL and without the escape character is stored as it is, so that SQL shows and finds it;
in others the two are escaped. Order and equality of bytes are kept apart: distinct texts stay distinct.
"""

from __future__ import annotations

from typing import TypeVar

Text = TypeVar("Text", str, str | None)
_ESCAPE = "\x01"
_NUL = _ESCAPE + "0"
_LITERAL = _ESCAPE + "1"


def to_stored(text: Text) -> Text:
    """Return a text as it is stored; None stays None."""
    if text is None:
        return text
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _LITERAL).replace("\0", _NUL)


def from_stored(stored: Text) -> Text:
    """Return the text that was stored; inverse of `to_stored`."""
    if stored is None:
        return stored
    if _ESCAPE not in stored:
        return stored
    return stored.replace(_NUL, "\0").replace(_LITERAL, _ESCAPE)
