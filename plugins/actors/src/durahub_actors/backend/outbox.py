"""What turns sent and is not known to have arrived, and what other hosts left when they died."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from durahub.errors import BackendCorruptionError

from durahub_actors.runtime import GroupWriter
from durahub_actors.stores import ActorId, DueReminder, ReminderId, Save, Saved, StateStore
from durahub_actors.workflows import codec
from durahub_actors.workflows.codec import Parcel
from durahub_actors.workflows.names import OUTBOX, Names

log = logging.getLogger("durahub.actors.outbox")

MOST_AT_ONCE = 100
"""Most parcels of dead hosts that are taken over at a time."""

MOST_REMEMBERED = 10_000
"""For most so many senders it is remembered that what they sent has arrived; others are looked up."""

Deliverer = Callable[[Sequence[Parcel]], Awaitable[None]]


class Outbox:
    """The parcels of committed turns: saved with the turn, delivered right after it, and then forgotten.

    The reminder of a parcel is held by the host that committed the turn; when that host dies, another one
    finds it here. Once delivered, a reminder goes with the next save that comes along.

    Args:
        store: Where they are.
        writer: Saves.
        workflows: Names of actors.
        host: Returns the name of this host's lease.

    Attributes:
        settled: By sender, the reminders whose parcels have arrived.
    """

    def __init__(
        self,
        store: StateStore,
        writer: GroupWriter,
        workflows: Names,
        host: Callable[[], str],
    ) -> None:
        self._store = store
        self._writer = writer
        self._names = workflows
        self._host = host
        self._undelivered: dict[ReminderId, Parcel] = {}
        self._expected: set[ReminderId] = set()
        self._is_unsure = False
        self.settled: OrderedDict[ActorId, frozenset[str]] = OrderedDict()

    def expect(self, sent: Sequence[tuple[ReminderId, Parcel]]) -> None:
        """Note what was saved and is about to be delivered by who saved it."""
        self._expected.update(reminder for reminder, _ in sent)

    def fail(self, sent: Sequence[tuple[ReminderId, Parcel]]) -> None:
        """Note what was to be delivered, and whether it was is not known: it is to be delivered again."""
        self._expected.difference_update(reminder for reminder, _ in sent)
        self._undelivered.update(sent)

    def settle(self, sent: Sequence[ReminderId]) -> None:
        """Note what was delivered: its reminder goes with the next save."""
        for reminder in sent:
            self._undelivered.pop(reminder, None)
            self._expected.discard(reminder)
            known = self.settled.pop(reminder.home, frozenset())
            self.settled[reminder.home] = known | {reminder.name}
            if len(self.settled) > MOST_REMEMBERED:
                self.settled.popitem(last=False)
            self._writer.later(Save(actor=reminder.home, forget=(reminder.name,)))

    def doubt(self) -> None:
        """Note that a write was interrupted: what it sent may be saved without anyone's knowing."""
        self._is_unsure = True

    @property
    def is_late(self) -> bool:
        """Whether something waits that should have been delivered."""
        return self._is_unsure or bool(self._undelivered)

    async def catch_up(self, deliver: Deliverer) -> None:
        """Deliver what should have been, and what dead hosts left.

        Raises:
            BackendError: It could not be delivered; it will be tried again.
        """
        if self._is_unsure:
            await self._free_unknown()
            self._is_unsure = False
        if self._undelivered:
            await self._deliver_late(deliver)
        await self._take_over(deliver)

    def forget(self) -> None:
        """Forget everything: the store has been deleted."""
        self._undelivered.clear()
        self._expected.clear()
        self.settled.clear()
        self._is_unsure = False

    async def is_empty(self, actor: ActorId) -> bool:
        """Whether nothing that a workflow sent is still on its way."""
        settled = self.settled.get(actor, frozenset())
        found = await self._store.reminders(actor)
        return all(one.name in settled for one in found if one.name.startswith(OUTBOX))

    async def _take_over(self, deliver: Deliverer) -> None:
        while True:
            due = await self._store.due(self._names.outbox_queue, MOST_AT_ONCE)
            taken = await self._take(due.reminders)
            if not taken:
                return
            for found in taken:
                self._unpack(found)
            await self._deliver_late(deliver)

    async def _take(self, found: Sequence[DueReminder]) -> list[DueReminder]:
        host = self._host()
        saves = [
            Save(
                actor=one.id.home,
                leases=(host,),
                held={one.id.name: None},
                hold={one.id.name: host},
            )
            for one in found
        ]
        results = await self._writer.write(saves)
        return [
            one for one, result in zip(found, results, strict=True) if isinstance(result, Saved)
        ]

    def _unpack(self, found: DueReminder) -> None:
        if found.id.name in self.settled.get(found.id.home, ()):
            return
        try:
            sender = self._names.key_of(found.id.home)
            self._undelivered[found.id] = codec.decode_parcel(sender, found.payload)
        except BackendCorruptionError:
            log.exception("what a workflow sent is damaged, and lost")
            self.settle([found.id])

    async def _deliver_late(self, deliver: Deliverer) -> None:
        late = list(self._undelivered.items())
        await deliver([parcel for _, parcel in late])
        self.settle([reminder for reminder, _ in late])

    async def _free_unknown(self) -> None:
        """Let go of what this host holds without knowing, so that it is found like a dead host's."""
        host = self._host()
        held = [one for one in await self._store.held(host) if one.name.startswith(OUTBOX)]
        unknown = [
            one
            for one in held
            if one not in self._undelivered
            and one not in self._expected
            and one.name not in self.settled.get(one.home, frozenset())
        ]
        await self._writer.write(
            [
                Save(actor=one.home, leases=(host,), held={one.name: host}, hold={one.name: None})
                for one in unknown
            ]
        )
