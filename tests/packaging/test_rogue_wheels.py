"""Real wheels in real environments: what the allowlist refuses, it refuses before its code runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import build_wheel, run

if TYPE_CHECKING:
    from tests.packaging.conftest import Environment

Rogue = Callable[..., Path]

POSTGRES = ("durahub_postgres/__init__.py", "durahub_postgres/plugin.py", "rogue/plugin.py")
CONFIGURATION = {
    "apiVersion": "dapr.io/v1alpha1",
    "kind": "Configuration",
    "metadata": {"name": "locked"},
}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return the file that a rogue module writes when it is imported."""
    return tmp_path / "imported"


@pytest.fixture
def rogue(tmp_path: Path, marker: Path) -> Rogue:
    """Build a wheel, every module of which writes the marker when it is imported."""

    def make(name: str, claims: str, *modules: str, version: str = "9.0") -> Path:
        evil = f"open({str(marker)!r}, 'w').close()\n"
        files = dict.fromkeys(modules or ("rogue/__init__.py", "rogue/plugin.py"), evil)
        directory = tmp_path / "wheels" / name
        directory.mkdir(parents=True)
        return build_wheel(directory, name, version=version, claims=claims, files=files)

    return make


def assert_never_ran(
    environment: Environment, marker: Path, module: str = "rogue.plugin", **environ: str
) -> None:
    """Assert that the marker is absent, and that it would be there if the module had been imported."""
    assert not marker.exists()
    environment.run_python(f"import {module}", **environ)
    assert marker.exists()


def test_load_bundled_backend_without_rogues_succeeds(
    environment: Environment, wheels: dict[str, Path]
) -> None:
    environment.install(wheels["sqlite"])
    report = environment.probe("sqlite")
    assert report["verdicts"] == [["durahub-sqlite", "sqlite", None]]
    assert report["error"] is None
    assert "SQLite" in report["loaded"]


def test_load_bundled_type_of_another_distribution_is_refused(
    environment: Environment, rogue: Rogue, marker: Path
) -> None:
    environment.install(rogue("acme-sqlite", "sqlite = rogue.plugin"))
    report = environment.probe("sqlite")
    assert report["verdicts"] == [["acme-sqlite", "sqlite", "wrong-distribution"]]
    name, message = report["error"]
    assert name == "BackendNotAdmittedError"
    assert "acme-sqlite 9.0 (" in message
    assert "this build takes 'sqlite' only from durahub-sqlite" in message
    assert "uninstall acme-sqlite 9.0 and install durahub-sqlite" in message
    assert_never_ran(environment, marker)


def test_load_second_distribution_claiming_a_type_is_refused_with_the_first(
    environment: Environment, wheels: dict[str, Path], rogue: Rogue, marker: Path
) -> None:
    environment.install(wheels["sqlite"], rogue("acme-sqlite", "sqlite = rogue.plugin"))
    report = environment.probe("sqlite")
    assert report["verdicts"] == [
        ["acme-sqlite", "sqlite", "conflict"],
        ["durahub-sqlite", "sqlite", "conflict"],
    ]
    name, message = report["error"]
    assert name == "PluginConflictError"
    assert "acme-sqlite 9.0 (" in message
    assert "durahub-sqlite 0.1.0 (" in message
    assert "leave one installation of durahub-sqlite and uninstall the rest" in message
    assert_never_ran(environment, marker)


def test_load_impostor_of_the_same_name_earlier_on_the_path_is_refused(
    environment: Environment, wheels: dict[str, Path], rogue: Rogue, marker: Path, tmp_path: Path
) -> None:
    environment.install(wheels["sqlite"])
    impostor = tmp_path / "impostor"
    modules = ("durahub_sqlite/__init__.py", "durahub_sqlite/plugin.py")
    wheel = rogue("Durahub.SQLite", "sqlite = durahub_sqlite.plugin", *modules)
    environment.install(wheel, target=impostor)
    report = environment.probe("sqlite", PYTHONPATH=str(impostor))
    assert report["verdicts"] == [
        ["Durahub.SQLite", "sqlite", "conflict"],
        ["durahub-sqlite", "sqlite", "conflict"],
    ]
    assert report["error"][0] == "PluginConflictError"
    assert str(impostor) in report["error"][1]
    assert_never_ran(environment, marker, "durahub_sqlite.plugin", PYTHONPATH=str(impostor))


def test_load_allowed_distribution_with_another_module_is_refused(
    environment: Environment, rogue: Rogue, marker: Path
) -> None:
    environment.install(rogue("durahub-sqlite", "sqlite = rogue.plugin"))
    report = environment.probe("sqlite")
    assert report["verdicts"] == [["durahub-sqlite", "sqlite", "wrong-module"]]
    assert "imports exactly 'durahub_sqlite.plugin' for it" in report["error"][1]
    assert_never_ran(environment, marker)


def test_load_allowed_names_with_a_module_of_another_distribution_is_refused(
    environment: Environment, rogue: Rogue, marker: Path
) -> None:
    environment.install(
        rogue("durahub-sqlite", "sqlite = durahub_sqlite.plugin", "rogue.py"),
        rogue("stranger", "", "durahub_sqlite/__init__.py", "durahub_sqlite/plugin.py"),
    )
    report = environment.probe("sqlite")
    assert report["verdicts"] == [["durahub-sqlite", "sqlite", "module-outside-distribution"]]
    assert "which is no file of that distribution" in report["error"][1]
    assert_never_ran(environment, marker, "durahub_sqlite.plugin")


def test_load_genuine_backend_shadowed_by_a_directory_on_the_path_is_refused(
    environment: Environment, wheels: dict[str, Path], marker: Path, tmp_path: Path
) -> None:
    environment.install(wheels["sqlite"])
    shadow = tmp_path / "shadow"
    (shadow / "durahub_sqlite").mkdir(parents=True)
    for name in ("__init__.py", "plugin.py"):
        (shadow / "durahub_sqlite" / name).write_text(f"open({str(marker)!r}, 'w').close()\n")
    report = environment.probe("sqlite", PYTHONPATH=str(shadow))
    assert report["verdicts"] == [["durahub-sqlite", "sqlite", "module-outside-distribution"]]
    assert f"would run {shadow}/durahub_sqlite/__init__.py" in report["error"][1]
    assert_never_ran(environment, marker, "durahub_sqlite.plugin", PYTHONPATH=str(shadow))


@pytest.mark.parametrize(
    ("distribution", "backend_type", "reason"),
    [
        ("durahubsqlite", "sqlite", "wrong-distribution"),
        ("durahub-sqlite3", "sqlite", "wrong-distribution"),
        ("acme-sqlite", "SQLite", "type-looks-like-allowed"),
        ("acme-sqlite", "sql-ite", "type-looks-like-allowed"),
        ("durahub-sqlite", "SQLITE", "type-looks-like-allowed"),
        ("acme-durahub", "acme", "type-not-allowed"),
    ],
)
def test_load_name_that_differs_from_an_allowed_one_is_refused(
    environment: Environment,
    rogue: Rogue,
    marker: Path,
    distribution: str,
    backend_type: str,
    reason: str,
) -> None:
    environment.install(rogue(distribution, f"{backend_type} = rogue.plugin"))
    report = environment.probe(backend_type)
    assert report["verdicts"] == [[distribution, backend_type, reason]]
    assert report["error"][0] == "BackendNotAdmittedError"
    assert_never_ran(environment, marker)


def test_load_bundled_backend_beside_rogues_of_other_types_succeeds_without_running_them(
    environment: Environment, wheels: dict[str, Path], rogue: Rogue, marker: Path
) -> None:
    environment.install(
        wheels["sqlite"], rogue("acme", "acme = rogue.plugin\nSQLite = rogue.plugin")
    )
    report = environment.probe("sqlite")
    assert report["error"] is None
    assert report["verdicts"] == [
        ["acme", "SQLite", "type-looks-like-allowed"],
        ["acme", "acme", "type-not-allowed"],
        ["durahub-sqlite", "sqlite", None],
    ]
    assert_never_ran(environment, marker)


def test_list_backends_explains_refusals_without_running_them(
    environment: Environment, wheels: dict[str, Path], rogue: Rogue, marker: Path
) -> None:
    environment.install(wheels["sqlite"], rogue("acme", "acme = rogue.plugin"))
    output = environment.run_python(
        "from durahub.cli.backends import backends_group\nfrom durahub.edition import OSS\n"
        "backends_group(OSS)(['list', '--all'])"
    )
    assert "acme: refused (type-not-allowed)" in output
    assert "the build 'oss' allows only actors, sqlite, postgres" in output
    assert_never_ran(environment, marker)


def test_load_second_distribution_claiming_postgres_is_refused_with_the_first(
    environment: Environment, rogue: Rogue, marker: Path
) -> None:
    environment.install(
        rogue("durahub-postgres", "postgres = durahub_postgres.plugin", *POSTGRES, version="0.1.0"),
        rogue("pg-fast", "postgres = rogue.plugin"),
    )
    report = environment.probe("postgres")
    assert report["verdicts"] == [
        ["durahub-postgres", "postgres", "conflict"],
        ["pg-fast", "postgres", "conflict"],
    ]
    assert report["error"][0] == "PluginConflictError"
    assert_never_ran(environment, marker)


@pytest.mark.parametrize("target", ["rogue.plugin:backend", "os:system", "os", "rogue [extra]"])
def test_load_target_that_is_no_module_of_its_own_is_refused(
    environment: Environment, rogue: Rogue, marker: Path, target: str
) -> None:
    environment.install(rogue("durahub-sqlite", f"sqlite = {target}"))
    ((_, _, reason),) = environment.probe("sqlite")["verdicts"]
    assert reason in {"target-not-a-module", "wrong-module"}
    assert_never_ran(environment, marker)


def test_load_genuine_backend_with_an_altered_file_is_refused(
    environment: Environment, wheels: dict[str, Path], marker: Path
) -> None:
    environment.install(wheels["sqlite"])
    altered = environment.site_packages / "durahub_sqlite" / "settings.py"
    text = altered.read_text()
    # Not written through: installers may link files to their cache.
    altered.unlink()
    altered.write_text(f"{text}\nopen({str(marker)!r}, 'w').close()\n")
    name, message = environment.probe("sqlite")["error"]
    assert name == "BackendNotAdmittedError"
    assert "durahub_sqlite/settings.py is not what was installed" in message
    assert_never_ran(environment, marker, "durahub_sqlite.plugin")


def test_load_genuine_backend_with_a_file_that_another_distribution_added_is_refused(
    environment: Environment, wheels: dict[str, Path], rogue: Rogue, marker: Path
) -> None:
    environment.install(wheels["sqlite"])
    environment.install(rogue("stranger", "", "durahub_sqlite/queries/__init__.py"))
    message = environment.probe("sqlite")["error"][1]
    assert "durahub_sqlite/queries/__init__.py does not belong to the distribution" in message
    assert_never_ran(environment, marker, "durahub_sqlite.plugin")


def test_process_that_is_held_to_a_lock_loads_nothing_else(
    environment: Environment, wheels: dict[str, Path], tmp_path: Path
) -> None:
    environment.install(wheels["sqlite"])
    lock = str(tmp_path / "lock")
    command = "from durahub.cli.main import main; main()"
    run([environment.python, "-c", command, "backends", "lock", "--file", lock])
    config = tmp_path / "config.yaml"
    workflow = {
        "backendType": "sqlite",
        "storeConfiguration": {"connectionString": str(tmp_path / "hub.db")},
    }
    config.write_text(json.dumps(CONFIGURATION | {"spec": {"workflow": workflow}}))
    migrate = [environment.python, "-c", command, "db", "migrate", "--config", config]
    run(migrate, DURAHUB_BACKENDS_LOCK=lock)
    Path(lock).write_text(Path(lock).read_text().replace("sha256:", "sha256:0"))
    ended = subprocess.run(
        migrate,
        env={"DURAHUB_BACKENDS_LOCK": lock},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "and the lock has sha256:0" in ended.stderr
