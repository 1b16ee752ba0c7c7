"""Hints: one connection per session that listens for what other sessions leave.

It also holds the session's guard lock. When the process ends, however it ends, the server closes the
connection and frees the lock, and others need not wait for the whole time to live.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from durahub.backend import Hint, InstanceChanged, WorkDue
from durahub.errors import BackendUnavailableError
from durahub.types import AppId, InstanceKey, SessionId

from durahub_postgres.connections import Connections
from durahub_postgres.schema import Connection, Hub
from durahub_postgres.text import from_stored, to_stored

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_CHECK_S = 20.0
"""After so long without a notification the connection is asked whether it is alive."""

_GUARD = "SELECT s.session, s.app_id FROM {hub}.guard($1) AS g JOIN {hub}.sessions AS s ON s.session = g"


class _Lost(Exception):  # noqa: N818 - it ends a wait, and never escapes
    """The connection is gone."""


class _Ear:
    """Turns the notifications of one connection into hints for one session."""

    def __init__(self, connection: Connection, number: int, app_id: str) -> None:
        self._connection = connection
        self._number = number
        self._app_id = app_id
        self._heard: asyncio.Queue[Hint | None] = asyncio.Queue()

    def notified(self, _connection: object, _process: int, _channel: str, payload: object) -> None:
        """Take in a notification, if it is for the session's application and not from itself."""
        kind, sender, app_id, instance_id = json.loads(str(payload))
        if sender == self._number or app_id != self._app_id:
            return
        if kind == "work":
            self._heard.put_nowait(WorkDue())
        else:
            key = InstanceKey(AppId(from_stored(app_id)), from_stored(instance_id))
            self._heard.put_nowait(InstanceChanged(key))

    def ended(self, _connection: object) -> None:
        """Take in that the connection is gone."""
        self._heard.put_nowait(None)

    async def next(self) -> Hint:
        """Return the next hint.

        Raises:
            _Lost: There will be none.
        """
        while True:
            try:
                async with asyncio.timeout(_CHECK_S):
                    hint = await self._heard.get()
            except TimeoutError:
                await self._connection.execute("SELECT 1")
                continue
            if hint is None:
                raise _Lost
            return hint


async def listen(
    connections: Connections, hub: Hub, session_id: SessionId
) -> AsyncIterator[Hint]:
    """Yield hints until cancelled; connect again, for ever, whenever the connection is lost.

    After each interruption work may have been left unheard, so there is a hint then.

    Raises:
        SessionFencedError: The session is not alive.
        BackendError: The backend was closed, or there is no task hub any more.
    """
    pause_s = _FIRST_PAUSE_S
    is_first = True
    while True:
        try:
            async with _ear(connections, hub, session_id) as ear:
                pause_s = _FIRST_PAUSE_S
                if not is_first:
                    yield WorkDue()
                is_first = False
                while True:
                    yield await ear.next()
        except (_Lost, BackendUnavailableError):
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - spreads load
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


@asynccontextmanager
async def _ear(connections: Connections, hub: Hub, session_id: SessionId) -> AsyncIterator[_Ear]:
    async with connections.connect() as connection:
        number, app_id = await connection.fetchrow(hub.sql(_GUARD), to_stored(session_id))
        ear = _Ear(connection, number, app_id)
        connection.add_termination_listener(ear.ended)
        await connection.add_listener(hub.channel, ear.notified)
        yield ear
