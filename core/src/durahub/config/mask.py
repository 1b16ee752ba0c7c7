"""Takes out of a text what it repeats of configured values."""

from __future__ import annotations

from collections.abc import Iterable

from durahub.config.tree import Plain

MASK = "***"

_PIECE = 4
"""Length from which a common piece counts as repeated; shorter ones are in any two texts."""


def mask(text: str, values: Iterable[Plain]) -> str:
    """Return `text` with every piece replaced that also occurs in one of the values.

    A piece has four characters or more, or is a whole value of two or three. Upper and lower case
    count as equal. Words that a text and a value share by chance are replaced too.
    """
    folded = _fold(text)
    hidden = bytearray(len(text))
    for piece in _pieces(values):
        start = folded.find(piece)
        while start >= 0:
            hidden[start : start + len(piece)] = b"\1" * len(piece)
            start = folded.find(piece, start + 1)
    return _replace(text, hidden)


def _pieces(values: Iterable[Plain]) -> set[str]:
    pieces: set[str] = set()
    for value in values:
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        folded = "" if value is None or isinstance(value, bool) else _fold(text)
        if 1 < len(folded) < _PIECE:
            pieces.add(folded)
        pieces.update(folded[i : i + _PIECE] for i in range(len(folded) - _PIECE + 1))
    return pieces


def _replace(text: str, hidden: bytearray) -> str:
    shown: list[str] = []
    for index, character in enumerate(text):
        if not hidden[index]:
            shown.append(character)
        elif index == 0 or not hidden[index - 1]:
            shown.append(MASK)
    return "".join(shown)


def _fold(text: str) -> str:
    # Character by character, so that positions stay what they are.
    return "".join(f if len(f := character.casefold()) == 1 else character for character in text)
