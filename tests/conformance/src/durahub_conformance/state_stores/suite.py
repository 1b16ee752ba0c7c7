"""The class that a vendor's test class inherits from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest_asyncio

from durahub_conformance.state_stores.harness import StateStoreHarness
from durahub_conformance.state_stores.law import LAWS, StoreLaw
from durahub_conformance.state_stores.stand import Stand, open_stand
from durahub_conformance.state_stores.topics import TOPICS


class StateStoreConformance(*TOPICS):  # type: ignore[misc] # the bases are a tuple
    """All laws of state stores. New ones arrive by upgrade.

    Attributes:
        harness: Makes the place of one test from an empty directory; usually a `StateStoreHarness`
            subclass.
    """

    harness: ClassVar[type[StateStoreHarness]]

    @pytest_asyncio.fixture(loop_scope="function")
    async def stand(self, tmp_path: Path) -> AsyncIterator[Stand]:
        """Yield an open store."""
        async with open_stand(self.harness(tmp_path)) as stand:
            yield stand

    def test_laws_are_tested_as_published(self) -> None:
        """No test of the kit was overridden or removed."""
        changed = [
            law.law_id
            for law in LAWS.values()
            if getattr(type(self), law.test.__name__, None) is not law.test
        ]
        assert not changed, f"the class changes the tests of {', '.join(changed)}"


def laws() -> list[StoreLaw]:
    """Return every law of this version of the kit, in the order of their ids."""
    return sorted(LAWS.values(), key=lambda law: law.law_id)
