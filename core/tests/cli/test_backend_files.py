"""`durahub backends show|lock|verify`."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from durahub.cli.backends import backends_group
from durahub.cli.failures import CommandError
from durahub.edition import Allowed, Edition

ACME = Edition(
    name="acme",
    allowlist=(
        Allowed(backend_type="acme", distribution="acme-durahub", module="acme_durahub.plugin"),
    ),
)
PLUGIN = """
from durahub.testing import plugin
from dataclasses import replace
from durahub.plugin import hookimpl

@hookimpl
def durahub_backend():
    return replace(plugin.durahub_backend(), name="acme")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a plugin that works, and return its package."""
    monkeypatch.syspath_prepend(tmp_path)
    package, info = tmp_path / "acme_durahub", tmp_path / "acme_durahub-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    rows = []
    for name, text in (("__init__.py", ""), ("plugin.py", PLUGIN)):
        (package / name).write_text(text)
        digest = hashlib.sha256(text.encode()).digest()
        rows.append(
            f"acme_durahub/{name},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},"
        )
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: acme-durahub\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join(rows))
    (info / "entry_points.txt").write_text("[durahub.backends]\nacme = acme_durahub.plugin\n")
    importlib.invalidate_caches()
    yield package
    for name in [name for name in sys.modules if name.startswith("acme_durahub")]:
        del sys.modules[name]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(backends_group(ACME), list(arguments))


@pytest.mark.usefixtures("package")
def test_show_tells_what_is_allowed_installed_and_decided_without_an_import() -> None:
    shown = json.loads(run("show", "acme", "--json").output)
    assert shown["allowed"]["module"] == "acme_durahub.plugin"
    (installed,) = shown["installed"]
    assert installed["decision"] == "admitted"
    assert installed["digest"].startswith("sha256:")
    assert installed["faults"] == []
    assert installed["provides"] is None
    assert "acme_durahub" not in sys.modules


@pytest.mark.usefixtures("package")
def test_show_load_tells_what_the_plugin_provides() -> None:
    (installed,) = json.loads(run("show", "acme", "--load", "--json").output)["installed"]
    assert installed["provides"]["contract"] == "1.0"
    assert installed["provides"]["capabilities"]["limits"] == {"level": "native", "reason": ""}
    assert "    contract: 1.0" in run("show", "acme", "--load").output.splitlines()


def test_show_tells_of_altered_files_and_loads_nothing(package: Path) -> None:
    (package / "plugin.py").write_text("raise SystemExit('it ran')")
    output = run("show", "acme", "--load").output
    assert "    fault:    acme_durahub/plugin.py is not what was installed" in output
    assert "    reason: files-altered" in output
    assert "acme_durahub" not in sys.modules


def test_show_tells_what_is_not_installed() -> None:
    assert "  installed: no" in run("show", "acme").output


def test_show_of_an_unknown_type_fails() -> None:
    error = run("show", "acmee").exception
    assert isinstance(error, CommandError)
    assert error.exit_code == 2
    assert "it allows: acme" in str(error)


def test_verify_accepts_what_was_locked_until_a_byte_changes(package: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "lock")
    assert run("lock", "--file", file).exit_code == 0
    assert run("verify", "--file", file).output == "acme: as locked\n"
    (package / "plugin.py").write_text(PLUGIN + "\n")
    error = run("verify", "--file", file).exception
    assert isinstance(error, CommandError)
    assert error.exit_code == 1
    assert "acme_durahub/plugin.py is not what was installed" in str(error)
    assert "acme_durahub" not in sys.modules


@pytest.mark.usefixtures("package")
def test_verify_misses_what_was_locked_and_is_gone(tmp_path: Path) -> None:
    file = str(tmp_path / "lock")
    run("lock", "--file", file)
    (tmp_path / "acme_durahub-1.0.dist-info" / "entry_points.txt").unlink()
    error = run("verify", "--file", file).exception
    assert "acme: locked, and nothing that is installed and admitted provides it" in str(error)


def test_lock_of_nothing_fails_and_writes_nothing(tmp_path: Path) -> None:
    assert isinstance(run("lock", "--file", str(tmp_path / "lock")).exception, CommandError)
    assert not (tmp_path / "lock").exists()
