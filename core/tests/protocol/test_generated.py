"""The committed code is what the .proto files generate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from durahub.protocol import generated

SCRIPT = Path(__file__).with_name("regenerate.py")
COMMITTED = Path(generated.__file__).parent


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*_pb2.py*")}


def test_regenerate_into_empty_folder_gives_the_committed_code(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True)
    fresh, committed = contents(tmp_path), contents(COMMITTED)
    assert len(fresh) == 18
    assert sorted(fresh) == sorted(committed)
    differing = [name for name in fresh if fresh[name] != committed[name]]
    assert differing == [], "run `make proto`"


def test_regenerate_over_stale_code_removes_it(tmp_path: Path) -> None:
    stale, other = tmp_path / "gone_pb2.pyi", tmp_path / "__init__.py"
    stale.touch()
    other.touch()
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True)
    assert not stale.exists()
    assert other.exists()
