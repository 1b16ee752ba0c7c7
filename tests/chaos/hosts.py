"""Hosts of the actors backend on one state store, and what can be done to that and between them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.chaos.network import ADVERTISED, LISTENING, Network
from tests.chaos.replicas import Replica
from tests.chaos.run import FENCED, TRANSIENT, Fault, start
from tests.chaos.workload import Order
from tests.e2e.postgres import PostgresStore, postgres_store
from tests.e2e.processes import LogBook
from tests.e2e.sidecar import Setup, next_port
from tests.e2e.valkey import APPEND_ONLY, ValkeyServer, valkey_server
from tests.parity.client import Refused

UNREACHABLE = "a host can't be reached"
MET = "met a host"
NOTICED_S = 30.0


class ComponentStore(Protocol):
    """A server, and the component that names it."""

    @property
    def component(self) -> tuple[str, Mapping[str, str]]:
        """Type and metadata."""

    @property
    def faults(self) -> Mapping[str, Fault]:
        """What can be done to it, by name."""


@dataclass(frozen=True)
class Postgres:
    """A Postgres server as a state store."""

    server: PostgresStore

    @property
    def component(self) -> tuple[str, Mapping[str, str]]:
        return "state.postgresql", {"connectionString": self.server.url, "maxConns": "4"}

    @property
    def faults(self) -> Mapping[str, Fault]:
        return self.server.faults


@dataclass(frozen=True)
class Valkey:
    """A Valkey server that writes to disk before it answers, as a state store."""

    server: ValkeyServer

    @property
    def component(self) -> tuple[str, Mapping[str, str]]:
        return "state.redis", {"redisHost": self.server.address}

    @property
    def faults(self) -> Mapping[str, Fault]:
        return {
            "connections terminated": self._terminate,
            "store restarted": self._restart,
            "store frozen": self._freeze,
        }

    async def _terminate(self) -> None:
        """End every second connection."""

        def terminate() -> None:
            with self.server.client() as client:
                for each in client.client_list()[::2]:
                    client.execute_command("CLIENT", "KILL", "ID", each["id"])

        await asyncio.to_thread(terminate)

    async def _restart(self) -> None:
        await asyncio.to_thread(self.server.crash_and_restart)

    async def _freeze(self) -> None:
        self.server.freeze()
        await asyncio.sleep(1.5)
        self.server.thaw()


@contextmanager
def component_store(kind: str) -> Iterator[ComponentStore]:
    """Run a server of a kind, `redis` or `postgresql`, and remove it in the end."""
    if kind == "redis":
        with valkey_server(APPEND_ONLY) as server:
            yield Valkey(server)
    else:
        with postgres_store() as postgres:
            yield Postgres(postgres)


class Hosts:
    """Sidecars with the actors backend, with relays between them.

    Args:
        store: Where their state is.
        directory: For their configuration.
        logs: Where they write.
        count: How many.
        time_to_live_s: How long a session may be silent.

    Attributes:
        replicas: The sidecars.
        network: The ways between them.
    """

    def __init__(
        self,
        store: ComponentStore,
        directory: Path,
        logs: LogBook,
        *,
        count: int,
        time_to_live_s: float,
    ) -> None:
        resources = directory / "resources"
        resources.mkdir()
        (resources / "store.yaml").write_text(json.dumps(_component(*store.component)))
        ports = [next_port() for _ in range(count)]
        self.replicas: Sequence[Replica] = []
        for number, port in enumerate(ports):
            own = directory / f"host-{number}"
            own.mkdir()
            setup = Setup.of("actors", own, storeConfiguration=_settings(port, time_to_live_s))
            flags = ("--resources-path", str(resources))
            self.replicas = [*self.replicas, Replica(number, setup, logs, flags)]
        self.network = Network(dict(zip(ports, self.replicas, strict=True)))
        self._ports = ports
        self._cuts = 0

    @property
    def faults(self) -> Mapping[str, Fault]:
        """What can be done to the ways between them."""
        return {"host cut off from the others": self._cut_off}

    async def _cut_off(self) -> None:
        """Cut a host off until it and the others have noticed; it goes on with its work, and so do they."""
        self._cuts += 1
        alone = self.replicas[self._cuts % len(self.replicas)]
        others = [replica for replica in self.replicas if replica is not alone]
        passed = self.network.passed[alone.number]
        await _until(lambda: self.network.passed[alone.number] > passed, "hosts that talk")
        await asyncio.sleep(1)
        fenced = alone.count_in_log(FENCED)
        self.network.cut_off(alone)
        try:
            await _until(lambda: any(self._misses(one, alone) for one in others), "who misses it")
            await _until(
                lambda: any(self._misses(alone, one) for one in others), "one who is alone"
            )
            async with asyncio.timeout(NOTICED_S):
                for replica in self.replicas:
                    await _serve(replica, f"cut-{self._cuts}-{replica.number}")
        finally:
            self.network.heal()
        assert alone.count_in_log(FENCED) == fenced, "it could reach the store"
        await _until(
            lambda: not all(self._misses(alone, one) for one in others), "hosts that meet again"
        )

    def _misses(self, replica: Replica, other: Replica) -> bool:
        """Whether the last that a host has said of another one is that it can't reach it."""
        address = f"address={ADVERTISED}:{self._ports[other.number]}"
        said = [line for line in replica.log_lines() if address in line]
        news = [line for line in said if UNREACHABLE in line or MET in line]
        return bool(news) and UNREACHABLE in news[-1]


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + NOTICED_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {NOTICED_S} s"
        await asyncio.sleep(0.05)


async def _serve(replica: Replica, instance_id: str) -> None:
    """Have a workflow done through one host and no other."""
    order, is_begun = Order(0), False
    while True:
        try:
            if not is_begun:
                await start(replica, order, instance_id)
            is_begun = True
            state = await replica.client.finished(instance_id, within_s=5)
        except Refused as error:
            # Calls that wait for the host which is gone are refused.
            if error.code not in TRANSIENT:
                raise
            await asyncio.sleep(0.1)
        else:
            assert state.output.value == order.expected, state
            return


def _component(type_: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    # JSON is YAML.
    items = [{"name": name, "value": value} for name, value in metadata.items()]
    return {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": "statestore"},
        "spec": {
            "type": type_,
            "version": "v1",
            "metadata": [*items, {"name": "actorStateStore", "value": "true"}],
        },
    }


def _settings(port: int, time_to_live_s: float) -> dict[str, Any]:
    return {
        "sessionTimeToLive": time_to_live_s,
        "internalAddress": LISTENING,
        "internalPort": port,
        "advertisedAddress": ADVERTISED,
    }
