"""MOD: whatever is done, the backend and the reference backend give the same answers."""

from __future__ import annotations

import asyncio

from durahub_conformance.hub import Hub
from durahub_conformance.model import compare_with_reference
from durahub_conformance.requirement import requirement


class ModelRequirements:
    """Requirements of random operations."""

    @requirement("MOD-01")
    async def test_random_operations_answer_as_the_reference_does(self, hub: Hub) -> None:
        """Random operations, repeated ones and those of ended sessions are answered as by the reference."""
        await hub.backend.close()
        await asyncio.to_thread(compare_with_reference, hub.harness)
