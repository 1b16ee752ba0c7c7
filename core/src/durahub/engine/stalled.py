"""Gives parked instances another try: each once at every sidecar, and anew when a worker connects there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from durahub.backend import Backend, Deliver, InstanceQuery, InstanceRecord
from durahub.engine.damage import report_damage
from durahub.engine.lane import StoreLane
from durahub.errors import BackendCorruptionError, BackendUnavailableError
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus

log = logging.getLogger("durahub.engine.stalled")


class Retrials:
    """Makes parked instances of one application due where they have not been tried yet.

    What one sidecar's workers can't run, those of another one may be able to: with several sidecars on a
    store this one looks for what others have parked. So that two which both lack the code do not pass an
    instance to and fro, each tries it once, until it has moved on or a worker connects.
    """

    def __init__(
        self,
        backend: Backend,
        lane: StoreLane,
        app_id: AppId,
        *,
        has_worker: Callable[[], bool],
        safety_poll_s: float,
    ) -> None:
        """Make retrials that are idle until `run`.

        Args:
            backend: Read only.
            lane: Where instances are made due.
            app_id: Whose instances.
            has_worker: Whether a worker is connected; without one nothing is tried.
            safety_poll_s: Time between two looks for what others have parked, in seconds.
        """
        self._backend = backend
        self._lane = lane
        self._app_id = app_id
        self._has_worker = has_worker
        self._safety_poll_s = safety_poll_s
        self._wake = asyncio.Event()
        self._tried: dict[InstanceKey, tuple[ExecutionId, int]] = {}

    def worker_connected(self) -> None:
        """Try all again: the new worker may be the right one."""
        self._tried.clear()
        self._wake.set()

    def try_again(self, key: InstanceKey) -> None:
        """Try one again: somebody here has not been asked."""
        self._tried.pop(key, None)
        self._wake.set()

    def note(self, record: InstanceRecord, new_events: int) -> None:
        """Note that an instance was tried here and is parked.

        Args:
            record: As it was claimed.
            new_events: How many events the parking appends to its history.
        """
        self._tried[record.key] = (record.execution_id, record.history_length + new_events)

    async def run(self) -> None:
        """Try what there is to be tried, until cancelled."""
        is_alone = not self._backend.capabilities.multi_process
        while True:
            try:
                async with asyncio.timeout(None if is_alone else self._safety_poll_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._try_all()
            except BackendUnavailableError:
                self._wake.set()
                await asyncio.sleep(self._safety_poll_s)
            except BackendCorruptionError as error:
                report_damage("waking stalled instances", error)

    async def _try_all(self) -> None:
        tried_before = list(self._tried)
        parked: set[InstanceKey] = set()
        token: str | None = None
        while self._has_worker():
            page = await self._backend.list_instances(
                InstanceQuery(
                    app_id=self._app_id, statuses=(RuntimeStatus.STALLED,), page_token=token
                )
            )
            for record in page.instances:
                parked.add(record.key)
                if self._tried.get(record.key) != (record.execution_id, record.history_length):
                    await self._make_due(record)
            token = page.next_token
            if token is None:
                self._forget(key for key in tried_before if key not in parked)
                return

    async def _make_due(self, record: InstanceRecord) -> None:
        try:
            await self._lane.write(Deliver(key=record.key, messages=(), expedite=True))
        except BackendCorruptionError as error:
            self.note(record, 0)
            report_damage(f"waking {record.key.instance_id!r}", error)

    def _forget(self, keys: Iterable[InstanceKey]) -> None:
        for key in keys:
            self._tried.pop(key, None)
