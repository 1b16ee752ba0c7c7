"""Workers' answers: each goes to the sidecar that gave the work out, whichever it reached.

A worker behind a load balancer has its stream with one sidecar, while its answers reach any of the
application's. Such an answer is handed on through the store, as it came, and is processed where the work
item is in flight. One that reaches the right sidecar costs the store nothing.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import DecodeError

from durahub.backend import Backend
from durahub.engine.damage import report_damage
from durahub.engine.dispatch import Dispatcher
from durahub.engine.retry import Backoff
from durahub.engine.streams import ItemName, Response, session_of
from durahub.errors import BackendError, SessionFencedError, ShuttingDownError
from durahub.protocol import messages as pb
from durahub.types import SessionId

log = logging.getLogger("durahub.engine.answers")

T = TypeVar("T")

TAKE_AT_ONCE = 50
"""Most answers taken from the store at once: their size is known only afterwards."""

REMEMBERED = 10_000
"""How many answers that were handed to this sidecar are remembered, so that none counts twice."""

_ID_BYTES = 16

_KINDS: dict[bytes, type[Response]] = {b"W": pb.WorkflowResponse, b"A": pb.ActivityResponse}


class Answers:
    """Takes workers' answers, and exchanges those that reached the wrong sidecar."""

    def __init__(
        self,
        backend: Backend,
        dispatcher: Dispatcher,
        *,
        safety_poll_s: float,
        on_fenced: Callable[[], None],
    ) -> None:
        """Make one that exchanges nothing until it is equipped and runs.

        Args:
            backend: Carries what is handed on.
            dispatcher: Knows what is in flight here.
            safety_poll_s: How long a lost hint may stay unnoticed.
            on_fenced: Called when the session turns out to be fenced; has it replaced.
        """
        self._backend = backend
        self._dispatcher = dispatcher
        self._safety_poll_s = safety_poll_s
        self._on_fenced = on_fenced
        self._session_id = SessionId("")
        self._wake = asyncio.Event()
        self._leaving: set[asyncio.Task[bool]] = set()
        self._arrived: dict[bytes, None] = {}
        self._is_closed = False

    def equip(self, group: asyncio.TaskGroup) -> None:
        """Say where tasks live."""
        self._group = group

    def use_session(self, session_id: SessionId) -> None:
        """Exchange answers as this session from now on."""
        self._session_id = session_id

    def look(self) -> None:
        """Look soon for what was handed to this sidecar."""
        self._wake.set()

    async def take(self, name: ItemName, response: Response) -> None:
        """Take an answer, and return once nobody has to send it again.

        An activity's is durable then, or void. One to work that another sidecar gave out is with the store
        until that sidecar has it; a caller that goes away does not keep it from getting there.

        Raises:
            ShuttingDownError: The sidecar stops, and the answer is still here.
        """
        if await self._dispatcher.complete(name, response.completionToken, response):
            return
        if not self._may_be_elsewhere(name, response.completionToken):
            _ignore(name)
            return
        if self._is_closed:
            raise ShuttingDownError
        leaving = self._group.create_task(self._hand_on(name, response))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.wait([leaving])
        if leaving.cancelled():
            raise ShuttingDownError

    async def run(self) -> None:
        """Take what was handed to this sidecar, until cancelled."""
        if not self._backend.capabilities.multi_process:
            return
        while True:
            self._wake.clear()
            try:
                await self._take_all()
            except SessionFencedError:
                self._on_fenced()
            except BackendError as error:
                report_damage("taking answers", error)
            try:
                async with asyncio.timeout(self._safety_poll_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def drain(self) -> None:
        """Return when everything that is to be handed on now is with the store."""
        if self._leaving:
            await asyncio.wait(self._leaving)

    def close(self) -> None:
        """Give up what is not handed on yet."""
        self._is_closed = True
        for task in self._leaving:
            task.cancel()

    def _may_be_elsewhere(self, name: ItemName, token: str) -> bool:
        if not self._backend.capabilities.multi_process or not name.instance_id:
            return False
        return not token or session_of(token) not in (None, self._session_id)

    async def _hand_on(self, name: ItemName, response: Response) -> bool:
        """Have the store keep an answer for the session that waits for it; False if there is none."""
        to = session_of(response.completionToken)
        if to is None:
            to = await self._owner(name)
        if to is None:
            _ignore(name)
            return False
        kind = b"W" if name.task_id is None else b"A"
        envelope = kind + uuid.uuid4().bytes + response.SerializeToString()
        is_kept = await self._insist(
            lambda session_id: self._backend.forward(session_id, to, envelope)
        )
        if not is_kept:
            _ignore(name)
        return is_kept

    async def _owner(self, name: ItemName) -> SessionId | None:
        """Return the only session that an answer without a token can be for, or None."""
        owners = await self._insist(
            lambda session_id: self._backend.owners(session_id, name.instance_id, name.task_id)
        )
        # What is owned here is not with a worker, or the answer had been taken.
        others = [owner for owner in owners if owner != self._session_id]
        if len(others) > 1:
            log.warning(
                "an answer without a completion token may be meant for activities of several sidecars, and"
                " is ignored; use an SDK that returns tokens, or have each worker talk to one sidecar",
                extra={"item": name},
            )
        return others[0] if len(others) == 1 else None

    async def _insist(self, call: Callable[[SessionId], Awaitable[T]]) -> T:
        """Return what the store answers, however long that takes."""
        backoff = Backoff()
        while True:
            try:
                return await call(self._session_id)
            except SessionFencedError:
                self._on_fenced()
            except BackendError as error:
                log.warning("an answer can't be handed on yet", extra={"error": str(error)})
            await asyncio.sleep(backoff.failed())

    async def _take_all(self) -> None:
        # Numbers mean nothing to the next session.
        session_id, handled = self._session_id, list[int]()
        while True:
            envelopes = await self._backend.take_forwarded(session_id, handled, TAKE_AT_ONCE)
            if not envelopes:
                return
            for envelope in envelopes:
                self._accept(envelope.payload)
            handled = [envelope.number for envelope in envelopes]

    def _accept(self, payload: bytes) -> None:
        """Process an answer that another sidecar handed on, unless it has been here before.

        It comes again after an answer of the store that never came; and without a token it might then
        count for the next turn of its instance.
        """
        kind, identity = payload[:1], payload[1 : 1 + _ID_BYTES]
        if identity in self._arrived:
            return
        self._arrived[identity] = None
        if len(self._arrived) > REMEMBERED:
            del self._arrived[next(iter(self._arrived))]
        try:
            response = _KINDS[kind].FromString(payload[1 + _ID_BYTES :])
        except (KeyError, DecodeError):
            log.exception("an answer from another sidecar can't be read")
            return
        task_id = response.taskId if isinstance(response, pb.ActivityResponse) else None
        name = ItemName(response.instanceId, task_id)
        if self._dispatcher.accept(name, response.completionToken, response) is None:
            _ignore(name)


def _ignore(name: ItemName) -> None:
    log.info("Ignoring complete task which no longer exists", extra={"item": name})
