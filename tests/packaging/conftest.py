from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# Says what the OSS build thinks of everything installed, and what comes of selecting a type.
PROBE = """
import json, sys
from durahub.edition import OSS, admit, load_backend, scan
from durahub.errors import DurahubError

verdicts = admit(OSS, scan())
report = {
    "verdicts": [
        [v.candidate.distribution, v.candidate.backend_type, v.refusal and v.refusal.reason.value]
        for v in verdicts
        if v.candidate.distribution != "durahub-core"  # its backend for tests is always there
    ],
    "loaded": None,
    "error": None,
}
try:
    report["loaded"] = load_backend(OSS, sys.argv[1]).summary
except DurahubError as error:
    report["error"] = [type(error).__name__, str(error)]
print(json.dumps(report))
"""


def run(
    command: Sequence[str | Path], *, given: str = "", timeout_s: float = 60, **changes: str
) -> str:
    """Run a program with something on its input and return what it prints; fail with what it says."""
    # The test run's own variables must not reach into the other environment.
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(
        command,
        input=given,
        env=environ | changes,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def build_wheel(
    directory: Path, name: str, *, version: str, claims: str, files: Mapping[str, str]
) -> Path:
    """Write a wheel as a stranger would, without a build tool that checks anything."""
    stem = f"{name.replace('-', '_').replace('.', '_')}-{version}"
    info = f"{stem}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[durahub.backends]\n{claims}\n",
    }
    rows = [f"{path},{_hash(text)},{len(text)}" for path, text in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    wheel = directory / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return wheel


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.root)}))

    def install(self, *wheels: Path, target: Path | None = None) -> None:
        """Install wheels as an installer does: no index, no dependencies, no questions."""
        place = ["--target", str(target)] if target else []
        options = ["--quiet", "--no-deps", "--no-index", "--offline", "--python", str(self.python)]
        cache = ["--cache-dir", str(self.root / "cache")]
        run([sys.executable, "-m", "uv", "pip", "install", *options, *cache, *place, *wheels])

    def probe(self, backend_type: str, **environ: str) -> dict[str, Any]:
        """Return what the OSS build says there; see `PROBE`."""
        report: dict[str, Any] = json.loads(
            run([self.python, "-c", PROBE, backend_type], **environ)
        )
        return report

    def run_python(self, code: str, **environ: str) -> str:
        """Run Python code there and return what it prints."""
        return run([self.python, "-c", code], **environ)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheels of this repository's OSS build with its core, and of two backends."""
    built = {}
    for name, place in (
        ("oss", "."),
        ("core", "core"),
        ("actors", "plugins/actors"),
        ("sqlite", "plugins/sqlite"),
    ):
        source = ROOT / place
        directory = tmp_path_factory.mktemp(name)
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
        subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=60)
        (built[name],) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that has what this environment has, except for Durahub itself."""
    directory = tmp_path_factory.mktemp("third_party")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # Without the .pth files, which lead to the sources of this repository.
        if path.suffix != ".pth" and not path.name.startswith(("durahub", "_editable")):
            (directory / path.name).symlink_to(path)
    return directory


@pytest.fixture
def environment(tmp_path: Path, wheels: dict[str, Path], third_party: Path) -> Environment:
    """Return an environment with the built core and third-party packages, and no backend."""
    made = make_environment(tmp_path / "venv", third_party)
    made.install(wheels["core"])
    return made


def make_environment(root: Path, third_party: Path) -> Environment:
    """Create an environment with third-party packages, of the exact versions of this one."""
    made = Environment(root)
    run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, made.root])
    (made.site_packages / "third_party.pth").write_text(f"{third_party}\n")
    return made
