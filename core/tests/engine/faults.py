"""Stores that fail, and clients that know it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from durahub.errors import BackendUnavailableError, InstanceExistsError

from .hub import jitter

STEPS = ("apply", "claim_instances", "claim_activities", "release_except", "heartbeat")
READS = ("get", "history", "list_instances", "list_ended")


def failing(
    source: random.Random, names: tuple[str, ...], share: float
) -> Callable[[str], Awaitable[None]]:
    """Return a step that fails at random, after a few turns of the loop."""
    delay = jitter(source)

    async def step(name: str) -> None:
        await delay(name)
        if name in names and source.random() < share:
            raise BackendUnavailableError(f"{name}: injected")

    return step


async def insist(call: Callable[[], Awaitable[object]]) -> None:
    """Call as a client that tries again when it is told that it may."""
    while True:
        try:
            await call()
        except BackendUnavailableError:
            await asyncio.sleep(0)
        except InstanceExistsError:
            return
        else:
            return


def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dice of the back-off always fall on a moment."""
    monkeypatch.setattr("random.uniform", lambda *_: 0.0005)
