"""Walks from an instance to those that it started, through their histories."""

from __future__ import annotations

from durahub.backend import Backend, InstanceRecord
from durahub.engine.state import ChildRef, fold
from durahub.types import InstanceKey


async def children_of(backend: Backend, key: InstanceKey) -> list[ChildRef]:
    """Return the children that the present generation of an instance created; none if it is gone."""
    (history,) = await backend.history([key])
    return [] if history is None else fold(history.events).children


def child_key(parent: InstanceKey, child: ChildRef) -> InstanceKey:
    """Return the key of a child."""
    return InstanceKey(child.app_id or parent.app_id, child.instance_id)


async def live_descendant(backend: Backend, record: InstanceRecord) -> str | None:
    """Return why an ended instance may not be replaced: the path to one below it that has not ended.

    None if all below it have ended or are gone. The text is Dapr's.
    """
    waiting = [(record.key, "")]
    seen = {record.key}
    while waiting:
        key, path = waiting.pop()
        keys = [child_key(key, child) for child in await children_of(backend, key)]
        for view in await backend.get(keys):
            # A child that started over for somebody else is no descendant any more.
            if view is None or view.record.parent is None or view.record.parent.key != key:
                continue
            child_path = f"{path}child workflow '{view.record.key.instance_id}': "
            if not view.record.status.is_terminal:
                return f"{child_path}orchestration has not yet completed"
            if view.record.key not in seen:
                seen.add(view.record.key)
                waiting.append((view.record.key, child_path))
    return None
