"""Watches that histories only grow while everything else is torn down around them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from durahub.protocol import messages as pb

from tests.chaos.workload import Order
from tests.parity.client import Client, Refused

SCHEDULED = {
    "taskCompleted": ("taskScheduled", "taskScheduledId"),
    "taskFailed": ("taskScheduled", "taskScheduledId"),
    "timerFired": ("timerCreated", "timerId"),
    "childWorkflowInstanceCompleted": ("childWorkflowInstanceCreated", "taskScheduledId"),
    "childWorkflowInstanceFailed": ("childWorkflowInstanceCreated", "taskScheduledId"),
}


def check_history(instance_id: str, events: Sequence[pb.HistoryEvent]) -> None:
    """Assert that a committed history has a start, and each resolution once, after what it resolves."""
    kinds = [event.WhichOneof("eventType") for event in events]
    assert kinds[:2] == ["workflowStarted", "executionStarted"], (instance_id, kinds)
    assert kinds.count("executionStarted") == 1, (instance_id, kinds)
    asked: set[tuple[str, int]] = set()
    resolved: Counter[tuple[str, int]] = Counter()
    for kind, event in zip(kinds, events, strict=True):
        if kind in SCHEDULED:
            wanted, field_name = SCHEDULED[kind]
            key = (wanted, getattr(getattr(event, kind), field_name))
            assert key in asked, (instance_id, kind, key)
            resolved[key] += 1
        elif kind is not None and event.eventId >= 0:
            asked.add((kind, event.eventId))
    assert all(count == 1 for count in resolved.values()), (instance_id, resolved)


@dataclass
class Audit:
    """What was seen of histories so far.

    Attributes:
        looks: How often a history was compared with what had been seen of it before.
    """

    orders: Callable[[], Sequence[Order]]
    clients: Callable[[], Sequence[Client]]
    source: random.Random
    looks: int = 0
    _seen: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look at random instances until cancelled."""
        while True:
            await asyncio.sleep(0.01)
            orders, clients = self.orders(), self.clients()
            if orders and clients:
                await self._look(self.source.choice(orders), self.source.choice(clients))

    async def check(self, order: Order, client: Client) -> None:
        """Look at an instance that has ended."""
        events = await client.history(order.instance_id)
        self._compare(order.instance_id, events)
        check_history(order.instance_id, events)

    async def _look(self, order: Order, client: Client) -> None:
        try:
            events = await client.history(order.instance_id)
        except Refused:
            return
        self._compare(order.instance_id, events)

    def _compare(self, instance_id: str, events: Sequence[pb.HistoryEvent]) -> None:
        if len(events) < 2:
            return
        run = events[1].executionStarted.workflowInstance.executionId.value
        found = [event.SerializeToString() for event in events]
        seen = self._seen.get((instance_id, run), [])
        shared = min(len(seen), len(found))
        assert found[:shared] == seen[:shared], f"{instance_id}: committed history has changed"
        self.looks += bool(shared)
        if len(found) > len(seen):
            self._seen[instance_id, run] = found
