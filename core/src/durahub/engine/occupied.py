"""What the store says about a child whose id is occupied."""

from __future__ import annotations

from dataclasses import replace

from durahub.backend import Backend, CreateInstance, InstanceRecord, Settlement
from durahub.clock import Clock
from durahub.engine.conflicts import occupied_message
from durahub.engine.descendants import live_descendant


async def replaceable_revision(backend: Backend, existing: InstanceRecord) -> int | None:
    """Return the revision of an ended instance that a child may replace, or None if it may not.

    Raises:
        BackendError: The store could not be read.
    """
    if not existing.status.is_terminal:
        return None
    if await live_descendant(backend, existing) is not None:
        return None
    return existing.revision


async def settle_occupied(
    backend: Backend, clock: Clock, child: CreateInstance, existing: InstanceRecord
) -> Settlement:
    """Return what is done instead of creating a child whose id was taken after its turn was committed.

    The same as `durahub.engine.conflicts` makes of it before: an ended run is replaced; or else the parent
    is told that the child failed, and a detached workflow is dropped.

    Raises:
        BackendError: The store could not be read.
    """
    revision = await replaceable_revision(backend, existing)
    if revision is not None:
        return replace(child, replaces=revision)
    return None if child.parent is None else occupied_message(child, child.parent, clock.now())
