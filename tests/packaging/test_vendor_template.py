"""What a vendor does, from the copied template to a build that runs an application."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.processes import Child, LogBook, wait_until
from tests.packaging.conftest import ROOT, Environment, make_environment, run

TESTS_S = 300


@dataclass(frozen=True)
class Vendor:
    """A project made from the template, and an environment with its wheel."""

    project: Path
    environment: Environment

    def command(self, name: str) -> Path:
        return self.environment.root / "bin" / name


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory, third_party: Path) -> Vendor:
    """The template as `cobalt`, beside everything it needs and the open-source build."""
    project = tmp_path_factory.mktemp("cobalt")
    run([sys.executable, ROOT / "vendor_template" / "rename.py", "cobalt", project])
    wheels = tmp_path_factory.mktemp("wheels")
    members = ("core", "plugins/sqlite", "plugins/postgres", "tests/conformance", "")
    for source in (*(ROOT / member for member in members), project):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=60)
    environment = make_environment(tmp_path_factory.mktemp("vendor") / "venv", third_party)
    environment.install(*wheels.glob("*.whl"))
    return Vendor(project, environment)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A Dapr configuration that selects the vendor's backend."""
    workflow = {"backendType": "cobalt", "storeConfiguration": {"path": str(tmp_path / "hub.lmdb")}}
    file = tmp_path / "config.yaml"
    head = {"apiVersion": "dapr.io/v1alpha1", "kind": "Configuration", "metadata": {"name": "c"}}
    file.write_text(json.dumps({**head, "spec": {"workflow": workflow}}))
    return file


def test_rename_leaves_nothing_of_the_old_name(vendor: Vendor) -> None:
    files = [
        path
        for path in vendor.project.rglob("*")
        if path.is_file() and path.suffix in {"", ".md", ".py", ".toml", ".typed", ".yml"}
    ]
    assert len(files) > 15
    for file in files:
        assert "acme" not in f"{file} {file.read_text('utf-8')}".lower()


@pytest.mark.parametrize("name", ["Cobalt", "co--balt", "7up", "co_balt", "sqlite"])
def test_rename_refuses_what_is_no_backend_type(name: str, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "vendor_template" / "rename.py", name, tmp_path / "new"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert not (tmp_path / "new").exists()


def test_rename_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    command = [sys.executable, ROOT / "vendor_template" / "rename.py", "cobalt", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_project_has_tests_that_run(vendor: Vendor) -> None:
    pytest_there = [vendor.environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    output = run(
        [*pytest_there, "-k", "build or store or existing_id", vendor.project], timeout_s=TESTS_S
    )
    assert " passed" in output


@pytest.mark.timeout(TESTS_S)
def test_renamed_backend_passes_the_whole_kit_as_installed(vendor: Vendor, tmp_path: Path) -> None:
    kit, document = vendor.command("durahub-conformance"), tmp_path / "conformance.json"
    run(
        [kit, "run", "--backend", "cobalt", "--workers", "4", "--json", document],
        timeout_s=TESTS_S,
    )
    levels = ("core", "multi-process", "queries", "retention", "faults")
    wanted = [argument for level in levels for argument in ("--level", level)]
    output = run([kit, "verify", document, *wanted])
    assert output == f"cobalt-durahub 0.1.0: {' + '.join(levels)}\n"


def test_vendors_build_runs_an_application_of_the_dapr_sdk(
    vendor: Vendor, config: Path, tmp_path: Path
) -> None:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        grpc_port, http_port = first.getsockname()[1], second.getsockname()[1]
    log = LogBook(tmp_path).add("sidecar")
    command = [str(vendor.command("cobalt-durahub")), "serve", "--app-id", "shop"]
    command += ["--config", str(config), "--dapr-grpc-port", str(grpc_port)]
    sidecar = Child((*command, "--dapr-http-port", str(http_port)), log=log)
    try:
        wait_until(lambda: _listens(grpc_port) or not sidecar.is_running, "a sidecar that listens")
        app = ROOT / "tests" / "packaging" / "vendor_app.py"
        output = run([vendor.environment.python, app, str(grpc_port)])
    finally:
        sidecar.stop()
    assert output == "COMPLETED 12\n", log.read_text()


def test_open_source_build_refuses_it_without_importing_it(vendor: Vendor, config: Path) -> None:
    def ask(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = [vendor.environment.python, "-X", "importtime", vendor.command(command)]
        return subprocess.run(
            [*python, *arguments, "--config", config],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    refused = ask("durahub", "serve", "--app-id", "shop")
    assert refused.returncode == 2
    assert "backend 'cobalt' is refused: cobalt-durahub 0.1.0 (" in refused.stderr
    assert "the build 'oss' allows only actors, sqlite, postgres" in refused.stderr
    assert "use a build whose allowlist names this backend" in refused.stderr
    assert not _imported(refused.stderr)
    admitted = ask("cobalt-durahub", "db", "migrate")
    assert admitted.returncode == 0, admitted.stderr[-2000:]
    assert "cobalt_durahub.backend" in _imported(admitted.stderr)


def _imported(importtime: str) -> set[str]:
    return set(re.findall(r"^import time:.*\| +(cobalt_durahub[\w.]*)$", importtime, re.MULTILINE))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
