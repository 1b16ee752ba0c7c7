"""One bounded run: workflows go on while replicas and their store are torn down around them."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.audit import Audit
from tests.chaos.replicas import Replica
from tests.chaos.workload import EVENTS, Order
from tests.parity.client import Refused

Fault = Callable[[], Awaitable[None]]

IN_FLIGHT = 60
PATIENCE_S = 240.0
"""A workflow that takes longer, all interruptions included, counts as stuck."""

FENCED = "session was fenced"


@dataclass
class Chaos:
    """Replicas under fire.

    Attributes:
        replicas: The sidecars.
        more_faults: What can be done to the store, and to the ways between replicas, by name.
        time_to_live_s: How long a session may be silent.
        seed: Decides about everything that is random.
        done: How many of each fault have happened.
        ended_at_s: When workflows ended, as their customers learned.
    """

    replicas: Sequence[Replica]
    more_faults: Mapping[str, Fault]
    time_to_live_s: float
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    ended: list[Order] = field(default_factory=list)
    begun: list[Order] = field(default_factory=list)
    ended_at_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._source = random.Random(self.seed)
        self._audit = Audit(
            lambda: self.begun,
            lambda: [replica.client for replica in self._up()],
            random.Random(self.seed + 1),
        )

    @property
    def faults(self) -> Mapping[str, Fault]:
        """Everything that can happen, by name."""
        return {"kill": self._kill, "zombie": self._zombie, **self.more_faults}

    async def run(self, workflows: int, *, each: int = 1, pause_s: float = 1.0) -> None:
        """Run workflows until so many have ended and each fault has happened `each` times.

        Asserts that every one ends with the right output, that histories only grow and have each
        resolution once, and that zombies were fenced.
        """
        numbers = itertools.count()
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(replica.serve()) for replica in self.replicas]
            background.append(group.create_task(self._audit.run()))
            raging = group.create_task(self._rage(each, pause_s))
            async with asyncio.TaskGroup() as crowd:
                for _ in range(IN_FLIGHT):
                    crowd.create_task(self._customers(numbers, workflows, raging))
            await raging
            for order in self.ended:
                await self._insist(
                    lambda replica, order=order: self._audit.check(order, replica.client)
                )
            for task in background:
                task.cancel()
        self._conclude(workflows, each)

    async def _customers(
        self, numbers: itertools.count[int], workflows: int, raging: asyncio.Task[None]
    ) -> None:
        while (number := next(numbers)) < workflows or not raging.done():
            order = Order(number)
            async with asyncio.timeout(PATIENCE_S):
                await self._serve(order)
            self.ended.append(order)
            self.ended_at_s.append(time.monotonic())

    async def _serve(self, order: Order) -> None:
        await self._insist(lambda replica: start(replica, order, order.instance_id))
        self.begun.append(order)
        if order.name == "listener":
            for number in range(EVENTS):
                await self._insist(
                    lambda replica, number=number: replica.client.send(
                        order.instance_id, f"news{number}", f"{order.value}#{number}"
                    )
                )
        state = await self._insist(
            lambda replica: replica.client.finished(order.instance_id, within_s=10)
        )
        assert state.output.value == order.expected, (order, state)

    async def _insist(self, call: Callable[[Replica], Awaitable[object]]) -> object:
        """Make a call through one replica after the other until one answers."""
        while True:
            replica = self._source.choice(self._up() or self.replicas)
            try:
                return await call(replica)
            except Refused as error:
                if error.code not in TRANSIENT:
                    raise
            await asyncio.sleep(0.05 + 0.1 * self._source.random())

    async def _rage(self, each: int, pause_s: float) -> None:
        names = [name for name in self.faults for _ in range(each)]
        self._source.shuffle(names)
        for name in names:
            await asyncio.sleep(pause_s * (0.5 + self._source.random()))
            await self.faults[name]()
            self.done[name] += 1

    async def _kill(self) -> None:
        victim = self._source.choice(self._up())
        victim.kill()
        await asyncio.sleep(self._source.random() * 2 * self.time_to_live_s)
        await victim.start()

    async def _zombie(self) -> None:
        """Stop a replica for longer than its session may be silent; it must notice that it was fenced."""
        victim = self._source.choice(self._up())
        before = victim.count_in_log(FENCED)
        victim.freeze()
        await asyncio.sleep(self.time_to_live_s * 1.5 + 1)
        victim.thaw()
        async with asyncio.timeout(30):
            while victim.count_in_log(FENCED) == before:
                await asyncio.sleep(0.1)
        self.done["writes of zombies refused"] += 1

    def _up(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.is_up]

    def _conclude(self, workflows: int, each: int) -> None:
        assert len(self.ended) >= workflows
        assert self._audit.looks > 0
        missing = [name for name in self.faults if self.done[name] < each]
        assert not missing, missing
        print(f"\nchaos, seed {self.seed}: {len(self.ended)} workflows ended as they should")
        for name, count in sorted(self.done.items()):
            print(f"  {name}: {count}")
        print(f"  histories compared with what they had been: {self._audit.looks}")


TRANSIENT = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"}


async def start(replica: Replica, order: Order, instance_id: str) -> None:
    """Start a workflow, unless an earlier attempt has."""
    try:
        await replica.client.start(
            order.name,
            instance_id,
            order.value,
            within_s=10,
            enforceUniqueInstanceId=True,
        )
    except Refused as error:
        # The answer to an earlier attempt was lost.
        if error.code != "ALREADY_EXISTS":
            raise
