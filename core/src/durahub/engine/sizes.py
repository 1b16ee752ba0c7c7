"""How large names may be, so that every store can index them and no list is out of proportion. Pure.

Payloads have the limit of messages, which is the transport's.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_ID_BYTES = 1024
"""Longest id of an instance or an application, in UTF-8."""
MAX_NAME_BYTES = 1024
"""Longest name of a workflow or an event, in UTF-8."""
MAX_TAGS_BYTES = 16 * 1024
"""Most bytes of an instance's tags, keys and values together, in UTF-8."""


def id_objection(instance_id: str) -> str | None:
    """Return why this can't be the id of an instance; None if it can. It does not repeat the id."""
    return _objection("an instance ID", _bytes(instance_id), MAX_ID_BYTES)


def app_objection(app_id: str) -> str | None:
    """Return why this can't be the id of an application; None if it can."""
    return _objection("an app ID", _bytes(app_id), MAX_ID_BYTES)


def name_objection(name: str) -> str | None:
    """Return why this can't be the name of a workflow or an event; None if it can."""
    return _objection("a name", _bytes(name), MAX_NAME_BYTES)


def tags_objection(tags: Mapping[str, str]) -> str | None:
    """Return why an instance can't have these tags; None if it can."""
    size = sum(_bytes(key) + _bytes(value) for key, value in tags.items())
    return _objection("the tags of an instance", size, MAX_TAGS_BYTES)


def _objection(what: str, size: int, most: int) -> str | None:
    return f"too long: {size} bytes where {what} may have {most}" if size > most else None


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
