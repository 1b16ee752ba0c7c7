"""What an installed distribution's files are, byte for byte, and whether they are what was installed.

This is I/O, in proportion to the files of one distribution: it is done for a plugin that is to be loaded,
locked or shown, never for everything that is installed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.machinery
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from durahub.edition.bytecode import is_forged
from durahub.edition.candidate import Candidate, Ownership

_METADATA = frozenset({"METADATA", "entry_points.txt"})
"""What counts of a distribution's metadata; the rest says when and how it was installed."""

_CODE = tuple(importlib.machinery.all_suffixes())


class RecordedFile(NamedTuple):
    """One line of a RECORD.

    Attributes:
        path: Relative to the installation directory, with slashes.
        digest: SHA-256 as RECORD writes it, without the name of the method; empty if there is none.
    """

    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The files of a distribution as they are now.

    Attributes:
        digest: `sha256:` and the hex digest over names and contents of all files that count: everything
            of the distribution below the installation directory, except bytecode and what describes the
            installation itself. Empty where nothing is recorded, as for an editable install.
        files: How many files count.
        faults: What is not as it was installed, one sentence each, in the order of the files.
    """

    digest: str
    files: int
    faults: tuple[str, ...]


def take_fingerprint(candidate: Candidate) -> Fingerprint:
    """Return what the files of a candidate's distribution are now.

    A fault is a recorded file that is missing or has other bytes, a file of the plugin's top-level package
    without a recorded hash, a file there that could be imported and is not recorded, a directory there
    that leads elsewhere, and bytecode of another source. That nothing of the package is recorded is one.
    """
    if candidate.ownership is not Ownership.RECORDED:
        return Fingerprint(digest="", files=0, faults=())
    root = Path(candidate.origin).parent
    package = candidate.target.partition(".")[0]
    files = sorted(_recorded(Path(candidate.origin)))
    contents = [(file, _digest(root / file.path)) for file in files]
    faults = [fault for file, found in contents if (fault := _fault(file, found, package))]
    faults += _strangers(root, package, {file.path for file in files})
    faults += _forgeries(root, package, files)
    whole = hashlib.sha256()
    for file, found in contents:
        whole.update(f"{file.path}\0{found}\n".encode())
    return Fingerprint(digest=f"sha256:{whole.hexdigest()}", files=len(files), faults=tuple(faults))


def _recorded(metadata: Path) -> Iterator[RecordedFile]:
    try:
        rows = [*csv.reader((metadata / "RECORD").read_text("utf-8").splitlines())]
    except (OSError, UnicodeDecodeError, csv.Error):
        return
    for row in rows:
        path = PurePosixPath(row[0] if row else "")
        if not path.parts or path.is_absolute() or ".." in path.parts or path.suffix == ".pyc":
            continue
        if path.parts[0] == metadata.name and path.name not in _METADATA:
            continue
        method, _, digest = (row[1] if len(row) > 1 else "").partition("=")
        yield RecordedFile(str(path), digest if method == "sha256" else "")


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            raw = hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return ""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _fault(file: RecordedFile, found: str, package: str) -> str:
    if not found:
        return f"{file.path} is missing"
    if not file.digest:
        return f"{file.path} has no SHA-256 in RECORD" if _is_of(package, file) else ""
    return "" if found == file.digest else f"{file.path} is not what was installed"


def _is_of(package: str, file: RecordedFile) -> bool:
    return PurePosixPath(file.path).parts[0].partition(".")[0] == package


def _forgeries(root: Path, package: str, files: Sequence[RecordedFile]) -> list[str]:
    own = [file for file in files if _is_of(package, file)]
    if not own:
        # Of a zip file on the path, or a RECORD that vanished since it was scanned.
        return [f"nothing of {package} can be compared with a RECORD"]
    sources = [file.path for file in own if file.path.endswith(".py")]
    return [
        f"the bytecode of {path} was made of something else"
        for path in sources
        if is_forged(root / path)
    ]


def _strangers(root: Path, package: str, recorded: set[str]) -> list[str]:
    # A directory or an extension module would be imported in place of a recorded module of its name.
    found: list[str] = []
    for directory, names, files in os.walk(root / package):
        names[:] = sorted(name for name in names if name != "__pycache__")
        links = [Path(directory) / name for name in names if (Path(directory) / name).is_symlink()]
        found += [f"{link.relative_to(root).as_posix()} leads elsewhere" for link in links]
        for name in sorted(files):
            path = (Path(directory) / name).relative_to(root).as_posix()
            if name.endswith(_CODE) and path not in recorded:
                found.append(f"{path} does not belong to the distribution")
    return found
