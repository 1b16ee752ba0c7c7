"""Laws: what the tests of this kit prove, each under an id that is never used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])


class StoreLaw(NamedTuple):
    """A law and the test that proves it.

    Attributes:
        law_id: Such as `SAV-03`; stable, never used again.
        text: What a state store has to do, in one sentence.
        test: The test function.
    """

    law_id: str
    text: str
    test: Callable[..., Any]


LAWS: dict[str, StoreLaw] = {}
"""Every law of state stores by id, filled by `law`."""


def law(law_id: str) -> Callable[[Test], Test]:
    """Mark an asynchronous test as the proof of a law; its docstring is the law."""

    def register(test: Test) -> Test:
        if law_id in LAWS or test.__name__ in {known.test.__name__ for known in LAWS.values()}:
            raise ValueError(f"{law_id} or {test.__name__} is there twice")
        text = " ".join((test.__doc__ or "").split())
        if not text:
            raise ValueError(f"{law_id} has no text")
        in_asyncio: Test = pytest.mark.asyncio(loop_scope="function")(test)
        LAWS[law_id] = StoreLaw(law_id, text, in_asyncio)
        return in_asyncio

    return register
