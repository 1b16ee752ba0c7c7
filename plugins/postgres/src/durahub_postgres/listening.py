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

from durahub.backend import Forwarded, Hint, InstanceChanged, WorkDue
from durahub.errors import BackendUnavailableError
from durahub.types import AppId, InstanceKey, SessionId

from durahub_postgres.connections import Connections
from durahub_postgres.schema import Connection, Hub
from durahub_postgres.text import from_stored, to_stored

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_CHECK_S = 20.0
"""After so long without a notification the connection is asked whether it is alive."""

_GUARD = (
    "SELECT s.session, s.app_id FROM {hub}.guard($1) AS g JOIN {hub}.sessions AS s ON s.session = g"
)


class _Lost(Exception):  # noqa: N818 - it ends a wait, and never escapes
    """The connection is gone."""


class _Ear:
    """Turns the notifications of one connection into hints for one session."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._number = 0
        self._session_id = ""
        self._app_id = ""

    async def open(self, hub: Hub, session_id: SessionId) -> None:
        """Begin to listen, and then take the session's guard lock.

        Raises:
            asyncpg.PostgresError: Also if the session is not alive.
        """
        self._session_id = to_stored(session_id)
        self._connection.add_termination_listener(self._ended)
        await self._connection.add_listener(hub.channel, self._notified)
        self._number, self._app_id = await self._connection.fetchrow(
            hub.sql(_GUARD), self._session_id
        )

    async def next(self) -> Hint:
        """Return the next hint.

        Raises:
            _Lost: There will be none.
        """
        while True:
            try:
                async with asyncio.timeout(_CHECK_S):
                    payload = await self._heard.get()
            except TimeoutError:
                await self._connection.execute("SELECT 1")
                continue
            if payload is None:
                raise _Lost
            hint = self._hint_of(payload)
            if hint is not None:
                return hint

    def _hint_of(self, payload: str) -> Hint | None:
        kind, sender, app_id, name = json.loads(payload)
        if sender == self._number:
            return None
        if kind == "work":
            return WorkDue() if app_id == self._app_id else None
        if kind == "forwarded":
            return Forwarded() if name == self._session_id else None
        return InstanceChanged(InstanceKey(AppId(from_stored(app_id)), from_stored(name)))

    def _notified(self, *notification: object) -> None:
        self._heard.put_nowait(str(notification[3]))

    def _ended(self, _connection: object) -> None:
        self._heard.put_nowait(None)


async def listen(connections: Connections, hub: Hub, session_id: SessionId) -> AsyncIterator[Hint]:
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
        ear = _Ear(connection)
        await ear.open(hub, session_id)
        yield ear
