from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, cast

import pytest
from durahub.cli.supervision import FORWARDED, Supervisor
from durahub.server.owned_tasks import OwnedTasks
from durahub.server.sidecar import Sidecar

SLEEP = ("sleep", "60")


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in FORWARDED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class BreakingSidecar:
    """Breaks down by itself a moment after it started, as one does whose engine fails."""

    app_id = "shop"
    http_port = grpc_port = 1

    def __init__(self) -> None:
        self._tasks = OwnedTasks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start(self._break(), name="break")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    async def wait_for_stop(self) -> None:
        await asyncio.Event().wait()

    async def _break(self) -> None:
        await asyncio.sleep(0.2)
        raise ValueError("broken")


async def test_a_sidecar_that_breaks_takes_the_application_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []
    spawn = asyncio.create_subprocess_exec

    async def remember(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await spawn(*arguments, **options)
        started.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    supervisor = Supervisor(cast(Sidecar, BreakingSidecar()), grace_s=2)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await supervisor.run(SLEEP, program=shutil.which("sleep") or "", environ=os.environ)
    assert caught.value.subgroup(ValueError) is not None
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
