"""The class that a vendor's test class inherits from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio

from durahub_conformance.harness import Harness
from durahub_conformance.hub import Hub, open_hub
from durahub_conformance.pytest_plugin import DECLINED, GAP
from durahub_conformance.requirement import REGISTRY, Law
from durahub_conformance.topics import TOPICS


class BackendConformance(*TOPICS):  # type: ignore[misc] # the bases are a tuple
    """All requirements. New ones arrive by upgrade.

    A vendor's test module is:

        class TestAcme(BackendConformance):
            harness = AcmeHarness

    Attributes:
        harness: Makes the store of one test from an empty directory; usually a `Harness` subclass.
    """

    harness: ClassVar[type[Harness]]

    @pytest_asyncio.fixture(loop_scope="function")
    async def hub(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hub]:
        """Yield the task hub of one test; skip a test whose law does not apply to the backend."""
        harness = self.harness(tmp_path)
        mark = request.node.get_closest_marker("requirement")
        obstacle = REGISTRY[mark.args[0]].obstacle(harness.backend().capabilities)
        if obstacle is not None:
            request.node.user_properties.append((DECLINED, obstacle))
            pytest.skip(obstacle)
        self._expect(request, harness)
        async with open_hub(harness) as hub:
            yield hub

    def _expect(self, request: pytest.FixtureRequest, harness: Harness) -> None:
        """Let a known gap fail, and nothing else of it; let a preview fail or not."""
        mark = request.node.get_closest_marker("requirement")
        gap = harness.gaps.get(mark.args[0])
        if gap is not None:
            request.node.user_properties.append((GAP, gap))
            request.applymarker(pytest.mark.xfail(reason=gap, strict=True))
        elif REGISTRY[mark.args[0]].preview:
            request.applymarker(pytest.mark.xfail(reason="a preview", strict=False))

    def test_requirements_are_tested_as_published(self) -> None:
        """No test of the kit was overridden or removed."""
        changed = [
            requirement.law.requirement_id
            for requirement in REGISTRY.values()
            if getattr(type(self), requirement.test.__name__, None) is not requirement.test
        ]
        assert not changed, f"the class changes the tests of {', '.join(changed)}"
        harness = getattr(self, "harness", Harness)
        unknown = sorted(name for name in harness.gaps if name not in REGISTRY)
        assert not unknown, f"there are no such requirements as in gaps: {', '.join(unknown)}"
        assert all(harness.gaps.values()), "a gap has no reason"


def requirements() -> list[Law]:
    """Return every requirement of this version of the kit, in the order of their ids."""
    return sorted(requirement.law for requirement in REGISTRY.values())
