"""A sidecar and the applications that are connected to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.processes import LogBook, pause, wait_until
from tests.e2e.sidecar import Setup, Sidecar
from tests.sdks.app import App
from tests.sdks.families import Defect, Family
from tests.sdks.installation import install

CONNECTED_S = 60.0

SOME_CONNECTIONS = 5
"""As many as a worker may need that waits a second or so between its attempts."""


class Stand:
    """A sidecar of its own with the applications of some families.

    Args:
        directory: Where the sidecar keeps what it keeps.
        logs: Where all processes write.
    """

    def __init__(self, directory: Path, logs: LogBook) -> None:
        self.sidecar = Sidecar(Setup.of("sqlite", directory), logs)
        self._logs = logs
        self._apps: dict[Family, App] = {}

    @property
    def apps(self) -> Sequence[App]:
        """All applications, in the order in which they were connected."""
        return list(self._apps.values())

    @property
    def app(self) -> App:
        """The only application."""
        (app,) = self._apps.values()
        return app

    @property
    def family(self) -> Family:
        """Its family."""
        (family,) = self._apps
        return family

    def open(self, *families: Family) -> None:
        """Start the sidecar, and connect an application of each family."""
        self.sidecar.start()
        self.connect(*families)

    def connect(self, *families: Family) -> Sequence[App]:
        """Start an application of each family, and return when their workers are connected."""
        with ThreadPoolExecutor() as pool:
            commands = list(pool.map(install, families))
        expected = self.sidecar.connected_workers + len(families)
        for family, command in zip(families, commands, strict=True):
            self._apps[family] = App(family.name, command, self.sidecar.grpc_port, self._logs)
        self._await_workers(expected)
        return [self._apps[family] for family in families]

    def restart_app(self) -> None:
        """Replace the only application, as whoever runs it would."""
        self.app.kill()
        wait_until(lambda: self.sidecar.connected_workers == 0, "the old worker gone")
        self.connect(self.family)

    def restart_sidecar(self, *, kill: bool = False) -> None:
        """End the sidecar and start it again on the same ports, and see the application come back."""
        if kill:
            self.sidecar.kill()
        else:
            self.sidecar.stop()
        self.sidecar.start()
        self.await_return()

    def await_return(self) -> None:
        """Return when the only application is back, after its streams were ended."""
        if Defect.NEVER_CONNECTS_AGAIN in self.family.defects:
            self.restart_app()
        self._await_workers(1)
        self.app.await_contact()

    def freeze_sidecar(self, seconds: float) -> None:
        """Stop the sidecar's process for a while, as a debugger or a laptop's lid does."""
        os.kill(self.sidecar.pid, signal.SIGSTOP)
        pause(seconds)
        os.kill(self.sidecar.pid, signal.SIGCONT)

    @property
    def connections(self) -> int:
        """How many worker streams there were, in all lives of the sidecar."""
        return self.sidecar.output.count("work item stream established")

    def close(self) -> None:
        """End everything."""
        for app in self._apps.values():
            app.kill()
        self.sidecar.kill()

    def _await_workers(self, expected: int) -> None:
        wait_until(
            lambda: self.sidecar.connected_workers >= expected,
            f"{expected} workers of {[family.name for family in self._apps]}",
            timeout_s=CONNECTED_S,
        )
