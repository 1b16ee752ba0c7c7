"""Requirements: what the tests of this kit prove, each under an id that is never used again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import pytest
from durahub.backend import Capabilities, Support

Test = TypeVar("Test", bound=Callable[..., Coroutine[Any, Any, None]])


class Law(NamedTuple):
    """A requirement as readers see it.

    Attributes:
        requirement_id: Such as `CRE-03`; stable, never used again.
        text: What a backend has to do, in one sentence.
    """

    requirement_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A law and the test that proves it.

    Attributes:
        law: The law.
        test: The test function.
        needs: Names of the capabilities without which the law does not apply.
        without: Name of the capability with which the law does not apply.
        preview: Whether it only becomes a requirement with the next minor version of the kit: until then it
            is tested and reported, and counts for no level.
    """

    law: Law
    test: Callable[..., Any]
    needs: tuple[str, ...]
    without: str | None
    preview: bool

    def obstacle(self, capabilities: Capabilities) -> str | None:
        """Return why the law does not apply to a backend, or None if it does."""
        for name in self.needs:
            support: Support = getattr(capabilities, name)
            if not support:
                return f"not {name}: {support.reason}"
        if self.without is not None and getattr(capabilities, self.without):
            return f"only where a backend is not {self.without}"
        return None


LONGEST_S = 90.0
"""A test that takes longer has met a backend that hangs."""

REGISTRY: dict[str, Requirement] = {}
"""Every requirement of the kit by id, filled by `requirement`."""


def requirement(
    requirement_id: str, *, needs: str = "", without: str | None = None, preview: bool = False
) -> Callable[[Test], Test]:
    """Mark a test as the proof of a requirement; its docstring is the law.

    Of capabilities, `needs` names those without which the law does not apply, with spaces in between, and
    `without` one with which it does not. A new law begins as a `preview`.

    The test runs in asyncio whatever the mode of the vendor's own tests, and fails if it takes too long.
    """

    def register(test: Test) -> Test:
        bounded = _bounded(test)
        if requirement_id in REGISTRY:
            raise ValueError(f"requirement {requirement_id} is there twice")
        if test.__name__ in {known.test.__name__ for known in REGISTRY.values()}:
            raise ValueError(f"{test.__name__} would hide another test in the suite")
        text = " ".join((test.__doc__ or "").split())
        if not text:
            raise ValueError(f"requirement {requirement_id} has no law")
        REGISTRY[requirement_id] = Requirement(
            law=Law(requirement_id, text),
            test=bounded,
            needs=tuple(needs.split()),
            without=without,
            preview=preview,
        )
        marked: Test = pytest.mark.requirement(requirement_id)(bounded)
        in_asyncio: Test = pytest.mark.asyncio(loop_scope="function")(marked)
        return in_asyncio

    return register


def _bounded(test: Test) -> Test:
    @wraps(test)
    async def bounded(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(LONGEST_S):
            await test(*arguments, **named)

    return cast(Test, bounded)  # the same signature, and the same coroutine
