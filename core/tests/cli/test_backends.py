from __future__ import annotations

import base64
import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from durahub.cli.backends import backends_group
from durahub.edition import Allowed, Edition

ACME = Edition(
    name="acme",
    allowlist=(
        Allowed(
            backend_type="acme",
            distribution="acme-durahub",
            module="acme_durahub.plugin",
            default=True,
        ),
        Allowed(
            backend_type="acme-lite",
            distribution="acme-lite",
            module="acme_lite.plugin",
            versions=">=2",
        ),
    ),
)
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution on the path whose modules leave a mark when they are imported."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    marker = tmp_path / "imported"

    def put(name: str, claim: str, *, version: str = "1.0") -> Path:
        package = claim.split("=")[1].strip().split(".")[0]
        (tmp_path / package).mkdir()
        for module in ("__init__", "plugin"):
            evil = f"open({str(marker)!r}, 'w').close()"
            (tmp_path / package / f"{module}.py").write_text(evil)
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
        digest = hashlib.sha256(evil.encode()).digest()
        sha256 = "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        names = ("__init__.py", "plugin.py")
        (info / "RECORD").write_text("".join(f"{package}/{n},{sha256},\n" for n in names))
        (info / "entry_points.txt").write_text(f"[durahub.backends]\n{claim}\n")
        importlib.invalidate_caches()
        return marker

    yield put
    for name in set(sys.modules) - before:
        if name.partition(".")[0].endswith("_durahub"):
            del sys.modules[name]


def run(*arguments: str, edition: Edition = ACME) -> Result:
    result = CliRunner().invoke(backends_group(edition), list(arguments))
    assert result.exit_code == 0, result.output
    return result


def document(*arguments: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(run("list", "--json", *arguments).output)
    return parsed


def test_list_json_tells_what_is_allowed_and_what_is_installed(install: Install) -> None:
    install("acme-durahub", "acme = acme_durahub.plugin")
    shown = document()
    assert shown.pop("decisions")["admitted"] == 1
    assert shown == {
        "edition": "acme",
        "backends": [
            {
                "backendType": "acme",
                "distribution": "acme-durahub",
                "versions": "",
                "status": "installed",
                "version": "1.0",
                "default": True,
            },
            {
                "backendType": "acme-lite",
                "distribution": "acme-lite",
                "versions": ">=2",
                "status": "not-installed",
                "version": None,
                "default": False,
            },
        ],
    }


def test_list_all_json_adds_what_is_refused_with_reasons(install: Install, tmp_path: Path) -> None:
    install("rogue", "acme = rogue_durahub.plugin")
    shown = document("--all")
    assert shown["backends"][0]["status"] == "refused"
    assert shown["backends"][0]["version"] is None
    (refused,) = [r for r in shown["refused"] if r["distribution"] == "rogue"]
    origin = str(tmp_path / "rogue-1.0.dist-info")
    assert refused == {
        "backendType": "acme",
        "distribution": "rogue",
        "version": "1.0",
        "target": "rogue_durahub.plugin",
        "origin": origin,
        "reason": "wrong-distribution",
        "found": f"rogue 1.0 ({origin}) claims backend type 'acme' with 'rogue_durahub.plugin'",
        "why": "this build takes 'acme' only from acme-durahub",
        "remedy": "uninstall rogue 1.0 and install acme-durahub",
    }


def test_list_shows_a_table_without_what_is_refused(install: Install) -> None:
    install("acme-durahub", "acme = acme_durahub.plugin")
    install("rogue", "rogue = rogue_durahub.plugin")
    output = run("list").output
    (row,) = [line for line in output.splitlines() if "acme-durahub" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "acme",
        "installed",
        "1.0",
        "acme-durahub",
        "default",
    ]
    (row,) = [line for line in output.splitlines() if "acme-lite" in line]
    assert "not-installed" in row
    assert "acme-lite>=2" in row
    assert "rogue" not in output
    decisions = dict(word.split("=") for word in output.splitlines()[-1].split()[1:])
    assert decisions["admitted"] == "1"
    assert int(decisions["type-not-allowed"]) >= 1


def test_list_all_explains_what_is_refused_in_whole_lines(install: Install) -> None:
    install("rogue", "rogue = rogue_durahub.plugin")
    lines = run("list", "--all").output.splitlines()
    start = lines.index("rogue: refused (type-not-allowed)")
    assert lines[start + 1].startswith("  found:  rogue 1.0 (/")
    assert lines[start + 1].endswith("claims backend type 'rogue' with 'rogue_durahub.plugin'")
    assert lines[start + 2] == "  why:    the build 'acme' allows only acme, acme-lite"
    assert lines[start + 3].startswith("  remedy: use a build whose allowlist names this backend")


def test_list_all_with_nothing_refused_says_so(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("acme-durahub", "acme = acme_durahub.plugin")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *filter(without_plugins, sys.path)])
    assert "Nothing that is installed is refused." in run("list", "--all").output


def without_plugins(entry: str) -> bool:
    return not any(Path(entry).glob("*.dist-info/entry_points.txt"))


def test_list_text_of_foreign_metadata_is_no_markup(install: Install) -> None:
    install("rogue", "[red]x[/red] = rogue_durahub.plugin")
    install("rogue2", "\x1b[31mx = rogue2_durahub.plugin")
    output = run("list", "--all").output
    assert "[red]x[/red]: refused" in output
    assert r"\x1b[31mx: refused" in output
    assert "\x1b" not in output


def test_list_version_of_foreign_metadata_is_no_markup(install: Install) -> None:
    install("acme-durahub", "acme = acme_durahub.plugin", version="[b]1")
    assert "[b]1" in run("list").output


@pytest.mark.parametrize("arguments", [[], ["--all"], ["--json"], ["--all", "--json"]])
def test_list_never_imports_a_plugin(install: Install, arguments: list[str]) -> None:
    install("acme-durahub", "acme = acme_durahub.plugin")
    marker = install("rogue", "acme-lite = rogue_durahub.plugin")
    run("list", *arguments)
    assert not marker.exists()
    importlib.import_module("rogue_durahub.plugin")
    assert marker.exists()


def test_help_says_that_nothing_widens_the_list() -> None:
    output = " ".join(run("--help").output.split())
    assert "Installing a package never adds one" in output
    assert "import no backend" in output
    listing = " ".join(run("list", "--help").output.split())
    assert "why, and what would allow it" in listing
