"""`durahub install-daprd` and `uninstall-daprd`: a program in somebody's home, which may have one already."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from durahub.cli.install_daprd import directory_of, launcher

FOREIGN = "#!/bin/sh\necho the real one\n"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def durahub(tmp_path: Path, environ: dict[str, str]) -> Call:
    """Run the installed command, which is what the program calls in its turn."""

    def call(*arguments: str) -> Outcome:
        program = str(Path(sys.executable).with_name("durahub"))
        done = subprocess.run(
            (program, *arguments),
            cwd=tmp_path,
            env={**environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return where the dapr CLI looks."""
    return tmp_path / ".dapr/bin/daprd"


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (str(place), *arguments), capture_output=True, text=True, timeout=30, check=False
    )


def test_the_program_is_this_build(durahub: Call, place: Path) -> None:
    outcome = durahub("install-daprd")
    assert outcome == (0, f"installed {place}\n", "")
    assert place.stat().st_mode & 0o777 == 0o755
    version = run(place, "--version")
    assert (version.stdout, version.stderr) == (durahub("--version").out, "")
    assert "Edition: oss" in run(place, "-build-info").stdout
    # Again, as after an upgrade.
    assert durahub("install-daprd") == (0, f"installed {place}\n", "")
    assert durahub("uninstall-daprd") == (0, f"removed {place}\n", "")
    assert list(place.parent.iterdir()) == []


def test_its_own_configuration_is_read_first(
    durahub: Call, place: Path, tmp_path: Path, sqlite_config: Path
) -> None:
    assert durahub("install-daprd", "--config", sqlite_config.name).code == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        sqlite_config.read_text().replace("backendType: sqlite", "backendType: nowhere")
    )
    outcome = run(place, "--app-id", "shop", "--config", str(wrong))
    assert outcome.returncode == 2
    assert f"{wrong}:6: spec.workflow.backendType: unknown backend 'nowhere'" in outcome.stderr
    sqlite_config.unlink()
    assert f"{sqlite_config}: cannot read the file" in run(place, "--app-id", "shop").stderr


def test_a_program_of_somebody_else_is_left_alone(durahub: Call, place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_text(FOREIGN)
    for command in ("install-daprd", "uninstall-daprd"):
        outcome = durahub(command)
        assert (outcome.code, outcome.out) == (2, "")
        assert f"{place} was not made by install-daprd" in outcome.err
        assert place.read_text() == FOREIGN


def test_what_force_replaces_comes_back(durahub: Call, place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_text(FOREIGN)
    kept = place.with_name("daprd.before-durahub")
    outcome = durahub("install-daprd", "--force")
    assert outcome == (0, f"installed {place}\nwhat was there is kept as {kept}\n", "")
    assert run(place, "--version").returncode == 0
    assert kept.read_text() == FOREIGN
    # A second time does not take our own program for somebody else's.
    assert durahub("install-daprd", "--force").out == f"installed {place}\n"
    assert durahub("uninstall-daprd").out == f"put back {place}\n"
    assert (place.read_text(), kept.exists()) == (FOREIGN, False)


def test_nothing_to_remove_is_an_error(durahub: Call, place: Path) -> None:
    assert durahub("uninstall-daprd") == (2, "", f"durahub: error: there is no {place}\n")


def test_a_missing_configuration_is_found_out_before_anything_is_installed(
    durahub: Call, place: Path
) -> None:
    outcome = durahub("install-daprd", "--config", "nowhere.yaml")
    assert outcome == (2, "", "durahub: error: there is no file nowhere.yaml\n")
    assert not place.exists()


def test_a_directory_that_cannot_be_written_is_one_message(durahub: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = durahub("install-daprd", "--dir", str(tmp_path / "file/bin"))
    assert outcome.code == 2
    assert outcome.err == (
        f"durahub: error: cannot install {tmp_path}/file/bin/daprd: Not a directory\n"
    )


def test_the_place_is_the_one_of_the_dapr_cli(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DAPR_RUNTIME_PATH", raising=False)
    assert directory_of(None) == tmp_path / ".dapr/bin"
    assert directory_of("~/bin") == tmp_path / "bin"
    monkeypatch.setenv("DAPR_RUNTIME_PATH", "/opt/dapr")
    assert directory_of(None) == Path("/opt/dapr/.dapr/bin")


def test_an_interpreter_that_no_shebang_can_name_is_started_by_a_shell(tmp_path: Path) -> None:
    directory = tmp_path / "with space" / ("long" * 40)
    directory.mkdir(parents=True)
    python = directory / "python"
    python.symlink_to(sys.executable)
    program = tmp_path / "show.py"
    program.write_text("import sys; print(sys.argv[1:])\n")
    place = tmp_path / "daprd"
    place.write_text(launcher(program, ["a b.yaml"], python=str(python)))
    place.chmod(0o755)
    outcome = run(place, "--app-id", "it's")
    assert outcome.stdout == "['daprd', '--config', 'a b.yaml', '--app-id', \"it's\"]\n"
    assert os.access(place, os.X_OK)
