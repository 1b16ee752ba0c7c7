"""The wheels of the OSS build: its default backend is there, and runs without any configuration."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.packaging.conftest import run

if TYPE_CHECKING:
    from tests.packaging.conftest import Environment


def test_the_default_backend_runs_from_wheels(
    environment: Environment, wheels: dict[str, Path], tmp_path: Path
) -> None:
    environment.install(wheels["actors"], wheels["oss"])
    report = environment.probe("actors")
    assert report["verdicts"] == [["durahub-actors", "actors", None]]
    assert report["error"] is None
    work = tmp_path / "work"
    work.mkdir()
    durahub = ("env", "-C", work, environment.root / "bin" / "durahub", "run")
    ports = ("--dapr-http-port", "0", "--dapr-grpc-port", "0")
    program = "import os; print('port', os.environ['DAPR_GRPC_PORT'])"
    output = run([*durahub, *ports, "--", environment.python, "-c", program])
    word, port = output.split()
    assert (word, port.isdecimal()) == ("port", True)
    assert (work / ".durahub" / "state.db").is_file()


def test_the_wheel_has_the_scripts_of_its_stores(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["actors"]) as wheel:
        packed = {name for name in wheel.namelist() if name.endswith((".lua", ".sql"))}
    source = Path(__file__).parents[2] / "plugins" / "actors" / "src"
    there = {
        str(path.relative_to(source))
        for path in source.rglob("*.*")
        if path.suffix in {".lua", ".sql"}
    }
    assert packed == there
    assert len(there) > 1
