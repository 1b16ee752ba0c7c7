"""What the kit promises to vendors besides its requirements."""

from __future__ import annotations

import asyncio

import pytest
from durahub.backend import NATIVE, Capabilities, Support, SupportLevel
from durahub_conformance import BackendConformance, requirements
from durahub_conformance.requirement import REGISTRY, requirement

from .memory_harness import MemoryHarness


class Tampered(BackendConformance):
    harness = MemoryHarness

    async def test_existing_id_is_refused(self) -> None:
        """Always passes."""


class Shortened(BackendConformance):
    harness = MemoryHarness
    test_existing_id_is_refused = None


@pytest.mark.parametrize("suite", [Tampered, Shortened])
def test_changed_requirement_test_is_noticed(suite: type[BackendConformance]) -> None:
    with pytest.raises(AssertionError, match="CRE-03"):
        suite().test_requirements_are_tested_as_published()


def test_untouched_suite_is_accepted() -> None:
    BackendConformance().test_requirements_are_tested_as_published()


def test_requirements_are_listed_with_their_laws() -> None:
    listed = requirements()
    assert [law.requirement_id for law in listed] == sorted(REGISTRY)
    assert all(law.text.endswith(".") for law in listed)


def test_requirement_id_is_given_out_once() -> None:
    async def test_something_new() -> None:
        """Some law."""

    with pytest.raises(ValueError, match="there twice"):
        requirement("CRE-03")(test_something_new)


def test_requirement_test_hides_no_other() -> None:
    async def test_existing_id_is_refused() -> None:
        """Some law."""

    with pytest.raises(ValueError, match="hide another test"):
        requirement("CRE-99")(test_existing_id_is_refused)


def test_requirement_needs_a_law() -> None:
    async def test_something_new() -> None:
        pass

    with pytest.raises(ValueError, match="no law"):
        requirement("CRE-99")(test_something_new)


def test_every_capability_named_by_a_requirement_exists() -> None:
    for known in REGISTRY.values():
        for name in (*known.needs, known.without):
            assert name is None or name in Capabilities.__slots__


def test_requirement_is_not_asked_of_a_backend_that_lacks_one_of_its_capabilities() -> None:
    law = REGISTRY["LIM-17"]
    given = {"limits": NATIVE, "multi_process": NATIVE, "durable": NATIVE, "hints": NATIVE}
    lacking = Support(SupportLevel.NONE, "one process")
    assert law.obstacle(Capabilities(**given)) is None
    for name in law.needs:
        assert law.obstacle(Capabilities(**{**given, name: lacking})) == f"not {name}: one process"
    assert law.obstacle(Capabilities(**{**given, "hints": lacking})) is None


async def test_requirement_test_that_hangs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test_something_new() -> None:
        """Some law."""
        await asyncio.Event().wait()

    monkeypatch.setattr("durahub_conformance.requirement.REGISTRY", {})
    monkeypatch.setattr("durahub_conformance.requirement.LONGEST_S", 0.01)
    bounded = requirement("NEW-01")(test_something_new)
    with pytest.raises(TimeoutError):
        await bounded()
