"""Sizes as Kubernetes writes them: `4Mi`, `512k`, `1.5G`, `4194304`."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:e([+-]?\d{1,2}))?([kKMGTP]?i?)")
_FACTORS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}


def parse_quantity(text: str) -> int:
    """Return a quantity as a whole number, rounded away from zero.

    Raises:
        ValueError: It is no quantity.
    """
    match = _QUANTITY.fullmatch(text.strip())
    factor = _FACTORS.get(match[3]) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is no quantity; write a number of bytes, or such as 4Mi or 16M")
    value = Decimal(match[1]).scaleb(int(match[2] or 0)) * factor
    return math.ceil(value) if value > 0 else math.floor(value)
