"""What is in order in each bucket, brought into one order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

Look = Callable[[Mapping[int, int]], Awaitable[Mapping[int, Sequence[bytes]]]]
"""Asks buckets for their first entries: from how many of each bucket to the entries."""

_LEAST_SHARE = 8


async def find_first(look: Look, buckets: Sequence[int], limit: int) -> list[tuple[bytes, int]]:
    """Return the first entries of all buckets together, and the bucket of each.

    It asks each bucket for somewhat more than its share, and the few that have more than that once more.

    Args:
        look: Asks.
        buckets: Which buckets there are.
        limit: At most so many.
    """
    share = min(limit, max(_LEAST_SHARE, 2 * -(-limit // len(buckets))))
    found = dict(await look(dict.fromkeys(buckets, share)))
    first = _merge(found, limit)
    last = first[-1][0] if len(first) == limit else None
    cut_off = [
        bucket
        for bucket, entries in found.items()
        if len(entries) == share < limit and (last is None or entries[-1] <= last)
    ]
    if not cut_off:
        return first
    found |= await look(dict.fromkeys(cut_off, limit))
    return _merge(found, limit)


def _merge(found: Mapping[int, Sequence[bytes]], limit: int) -> list[tuple[bytes, int]]:
    return sorted((entry, bucket) for bucket, entries in found.items() for entry in entries)[:limit]
