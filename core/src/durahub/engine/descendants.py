"""Walks from an instance to those that it started, through their histories.

Only links count, never ids: a child whose id belongs to somebody else by now, or always did, is no child.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from durahub.backend import Backend, InstanceRecord
from durahub.engine.state import ChildRef, child_key, fold
from durahub.errors import BackendCorruptionError
from durahub.types import InstanceKey

log = logging.getLogger("durahub.engine.descendants")


class Descendant(NamedTuple):
    """An instance below another one.

    Attributes:
        record: What it is.
        path: How it is reached, in Dapr's words.
    """

    record: InstanceRecord
    path: str


async def children_of(backend: Backend, key: InstanceKey) -> list[ChildRef]:
    """Return what the present generation of an instance created; nothing if it is gone.

    Nothing either if its history is damaged: who asks from above must not suffer for that.
    """
    try:
        (history,) = await backend.history([key])
        return [] if history is None else fold(history.events).children
    except (DecodeError, BackendCorruptionError) as error:
        log.warning(
            "children of a damaged instance are not known",
            extra={"instance_id": key.instance_id, "error": str(error)},
        )
        return []


async def linked_children(
    backend: Backend, key: InstanceKey, children: Sequence[ChildRef]
) -> list[InstanceRecord]:
    """Return those of `children` that exist and are children of `key`."""
    views = await backend.get([child_key(key, child) for child in children])
    return [
        view.record
        for view in views
        if view is not None and view.record.parent is not None and view.record.parent.key == key
    ]


async def live_below(
    backend: Backend, key: InstanceKey, children: Sequence[ChildRef]
) -> list[Descendant]:
    """Return the nearest descendants that have not ended, through `children` of `key`.

    What is below one that lives is not looked at: it answers for that itself.
    """
    found: list[Descendant] = []
    seen = {key}
    waiting: list[tuple[InstanceKey, Sequence[ChildRef], str]] = [(key, children, "")]
    while waiting:
        parent, below, path = waiting.pop()
        for record in await linked_children(backend, parent, below):
            here = f"{path}child workflow '{record.key.instance_id}': "
            if not record.status.is_terminal:
                found.append(Descendant(record, here))
            elif record.key not in seen:
                seen.add(record.key)
                waiting.append((record.key, await children_of(backend, record.key), here))
    return found


async def live_descendant(backend: Backend, record: InstanceRecord) -> str | None:
    """Return why an ended instance may not be replaced: the path to one below it that has not ended.

    None if all below it have ended or are gone. The text is Dapr's.
    """
    live = await live_below(backend, record.key, await children_of(backend, record.key))
    return f"{live[0].path}orchestration has not yet completed" if live else None
