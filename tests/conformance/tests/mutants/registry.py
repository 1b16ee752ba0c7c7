"""What a mutant is, and the list of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

TOLD = "DURAHUB_MUTANT_AT_WORK"
"""Variable that tells child processes which mutant is at work."""

Broken = Callable[..., Any]
"""Takes the original function and its arguments, and does what the mutant does instead."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one function of the reference backend.

    Attributes:
        name: What the mutant does wrong.
        owner: The class or module that has the function.
        attribute: The function's name.
        broken: What it becomes.
        kills: Requirements that have to notice.
    """

    name: str
    owner: Any
    attribute: str
    broken: Broken
    kills: tuple[str, ...]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Break the reference backend for a while."""
        original = self.owner.__dict__[self.attribute]
        with (
            patch.dict(os.environ, {TOLD: self.name}),
            patch.object(self.owner, self.attribute, _replace(original, self.broken)),
        ):
            yield


def _replace(original: Any, broken: Broken) -> Any:
    if isinstance(original, property):
        return property(lambda self: broken(original.__get__, self))

    def replacement(*args: Any, **kwargs: Any) -> Any:
        return broken(original, *args, **kwargs)

    return replacement


MUTANTS: list[Mutant] = []


def mutant(owner: Any, attribute: str, kills: str) -> Callable[[Broken], Broken]:
    """Add a mutant, named after the function that says what it does."""

    def add(broken: Broken) -> Broken:
        MUTANTS.append(Mutant(broken.__name__, owner, attribute, broken, tuple(kills.split())))
        return broken

    return add


def break_as_told() -> None:
    """In a child process: break what the parent process has broken, for good."""
    for told in MUTANTS:
        if told.name == os.environ.get(TOLD):
            original = told.owner.__dict__[told.attribute]
            setattr(told.owner, told.attribute, _replace(original, told.broken))
