"""Sidecar processes on one store, that tests kill, stop and start again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from durahub.protocol import messages as pb

from tests.chaos.workload import FLOWS, step
from tests.e2e.processes import LogBook
from tests.e2e.sidecar import Setup, Sidecar
from tests.parity.client import Client
from tests.parity.worker import Worker

READY_S = 60.0
RECONNECT_S = 0.2


class Replica:
    """One of the sidecars, the worker that is connected to it, and a client of it.

    Attributes:
        number: Which of the replicas.
        sidecar: The process.
        log: What it wrote.
        is_frozen: Whether it is stopped with SIGSTOP.
        is_leaving: Whether it was asked to end.
        held: Turns that `hold` was given.
    """

    def __init__(
        self, number: int, setup: Setup, logs: LogBook, more_flags: Sequence[str] = ()
    ) -> None:
        self.number = number
        self.sidecar = Sidecar(setup, logs, more_flags)
        self.log = self.sidecar.log
        self.is_frozen = False
        self.is_leaving = False
        self.held = 0
        self._channel = self._connect()
        self.client = Client(self._channel)

    async def start(self) -> None:
        """Start the process and return when it is ready."""
        self.sidecar.launch()
        async with asyncio.timeout(READY_S):
            while not await asyncio.to_thread(self.sidecar.is_ready):
                assert self.sidecar.is_running, f"replica {self.number} ended while it started"
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        self.is_frozen = False
        self.sidecar.kill()

    async def stop(self) -> None:
        """End the process in order, and return when it has ended."""
        self.is_leaving = True
        code = await asyncio.to_thread(self.sidecar.stop)
        self.is_leaving = False
        assert code == 0, f"replica {self.number} ended with {code}"

    def freeze(self) -> None:
        self.is_frozen = True
        os.killpg(self.sidecar.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        self.is_frozen = False
        os.killpg(self.sidecar.pid, signal.SIGCONT)

    @property
    def is_up(self) -> bool:
        return self.sidecar.is_running and not self.is_frozen and not self.is_leaving

    def count_in_log(self, text: str) -> int:
        return self.log.read_text(errors="replace").count(text)

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()

    async def serve(self) -> None:
        """Keep a worker connected until cancelled."""
        while True:
            channel = self._connect()
            worker = Worker(channel, FLOWS, {"step": step}, stateful=self.number % 2 == 0)
            # A worker whose sidecar dies ends with whatever that did to its calls.
            with suppress(grpc.aio.AioRpcError, ExceptionGroup):
                await worker.run()
            await channel.close()
            await asyncio.sleep(RECONNECT_S)

    async def hold(self) -> None:
        """Keep a worker connected that answers nothing, until cancelled."""

        async def take(_: pb.WorkflowRequest) -> None:
            self.held += 1

        channel = self._connect()
        try:
            with suppress(grpc.aio.AioRpcError, ExceptionGroup):
                await Worker(channel, raw=take).run()
        finally:
            await channel.close()

    def _connect(self) -> grpc.aio.Channel:
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.keepalive_time_ms", 5_000),
            ("grpc.keepalive_timeout_ms", 2_000),
        )
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.sidecar.grpc_port}", options=options)


def setups(backend: str, store: Mapping[str, Any], directory: Path, count: int) -> Sequence[Setup]:
    """Return how to start `count` sidecars of one store."""
    return [Setup.of(backend, directory, storeConfiguration=dict(store))] * count
