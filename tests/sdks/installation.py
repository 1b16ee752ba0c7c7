"""Installs SDKs with exactly the versions and hashes that are committed here, each in a folder of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.sdks.families import Family, Language

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".sdks"
LONGEST_S = 900.0

Command = tuple[str, ...]


class InstallationError(Exception):
    """A tool is missing, or it failed."""


def install(family: Family) -> Command:
    """Install a family unless it is, and return the command of its application without arguments.

    Several processes may do so at once: one installs, the others wait.

    Raises:
        InstallationError: With what to install, or what the installer said.
    """
    make, tools = _RECIPES[family.language]
    for tool, advice in tools.items():
        if shutil.which(tool) is None:
            raise InstallationError(f"{family.name} needs `{tool}` on the PATH: install {advice}")
    target = FOLDER / family.name
    stamp = target / "installed"
    with _locked(family):
        wanted = _fingerprint(family)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            make(family, target)
            stamp.write_text(wanted)
    return _COMMANDS[family.language](target)


@contextmanager
def _locked(family: Family) -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{family.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fingerprint(family: Family) -> str:
    """Return what changes whenever something else has to be installed or compiled."""
    found = hashlib.sha256(sys.version.encode())
    for file in sorted(_sources(family)):
        found.update(file.relative_to(HERE).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def _sources(family: Family) -> Iterator[Path]:
    pins = HERE / family.language / family.pins
    if pins.is_file():
        yield pins
    else:
        yield from (file for file in pins.rglob("*") if file.is_file())


def _install_python(family: Family, target: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    _run((uv, "venv", "--quiet", "--python", sys.executable, str(target / "venv")), target)
    pins = str(HERE / family.language / family.pins)
    interpreter = str(target / "venv/bin/python")
    _run((uv, "pip", "sync", "--python", interpreter, "--require-hashes", pins), target)


def _install_javascript(family: Family, target: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / family.language / family.pins / name, target)
    _run(("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), target)


def _install_go(family: Family, target: Path) -> None:
    _run(("go", "build", "-mod=readonly", "-o", str(target / "app"), "."), HERE / family.language)


def _install_java(family: Family, target: Path) -> None:
    pom = str(HERE / family.language / "pom.xml")
    options = ("--batch-mode", "--quiet", "--strict-checksums", f"-Dsdks.target={target}")
    _run(("mvn", *options, "--file", pom, "package"), target)


def _run(command: Sequence[str], folder: Path) -> None:
    # No toolchain is downloaded: what is there has to do.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode != os.EX_OK:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise InstallationError(f"{' '.join(command)} exited with {done.returncode}:\n{said}")


_NODE = {"node": "Node.js 18 or newer", "npm": "npm, which comes with Node.js"}
_JDK = {"java": "a JDK, 17 or newer", "javac": "a JDK, 17 or newer", "mvn": "Maven 3.8 or newer"}

_RECIPES: dict[Language, tuple[Callable[[Family, Path], None], dict[str, str]]] = {
    "python": (_install_python, {}),
    "javascript": (_install_javascript, _NODE),
    "go": (_install_go, {"go": "Go, at least the version in tests/sdks/go/go.mod"}),
    "java": (_install_java, _JDK),
}

_COMMANDS: dict[Language, Callable[[Path], Command]] = {
    "python": lambda target: (str(target / "venv/bin/python"), str(HERE / "python/app.py")),
    "javascript": lambda target: ("node", str(HERE / "javascript/app.js"), str(target)),
    "go": lambda target: (str(target / "app"),),
    "java": lambda target: ("java", "-cp", f"{target}/classes:{target}/libraries/*", "sdks.App"),
}
