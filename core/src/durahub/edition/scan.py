"""Finds every installed claim to be a backend, from metadata alone.

This is the only module that reads installation metadata, and the only one that imports
`importlib_metadata`. Two things about that library decide how it is used:

- Its import puts a finder of its own into `sys.meta_path` and deletes `find_distributions` from the
  standard library's, for the whole process. Durahub's process also runs other people's libraries, so
  the import is undone in that respect at once; unless somebody else imported the library before, and
  then nothing changes. The finder is asked directly instead.
- `entry_points()` drops all but the first distribution of each name. An impostor earlier on `sys.path`
  would hide the real one, so every distribution is looked at.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from importlib.machinery import PathFinder
from itertools import chain
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from durahub.edition.candidate import Candidate
from durahub.edition.ownership import find_owner

_log = logging.getLogger("durahub.edition")

ENTRY_POINT_GROUP = "durahub.backends"
"""The entry-point group in which plugins announce themselves."""

_SHOWN_LENGTH = 200


@contextmanager
def _finders_unchanged() -> Iterator[None]:
    finders = list(sys.meta_path)
    stdlib = PathFinder.__dict__.get("find_distributions")
    try:
        yield
    finally:
        sys.meta_path[:] = finders
        if stdlib is not None:
            PathFinder.find_distributions = stdlib  # type: ignore[method-assign]


with _finders_unchanged():
    from importlib_metadata import (
        Distribution,
        DistributionFinder,
        EntryPoint,
        MetadataPathFinder,
    )


def scan() -> tuple[Candidate, ...]:
    """Return every entry point of the group `durahub.backends` on `sys.path`, in that order.

    Two distributions of one name give two candidates; one that `sys.path` reaches twice gives one.
    Only metadata is read and nothing is imported. Metadata that can't be read claims nothing.
    """
    context = DistributionFinder.Context(path=list(sys.path))  # type: ignore[no-untyped-call]
    claims = map(_candidates, MetadataPathFinder.find_distributions(context))
    return tuple(dict.fromkeys(chain.from_iterable(claims)))


def _candidates(distribution: Distribution) -> Iterator[Candidate]:
    if ENTRY_POINT_GROUP not in _read(distribution, "entry_points.txt"):
        return
    files, project = _files(distribution), _editable_project(distribution)
    headers = message_from_string(
        _read(distribution, "METADATA") or _read(distribution, "PKG-INFO")
    )
    for entry_point in _entry_points(distribution):
        owner = find_owner(entry_point.value, files=files, project=project)
        yield Candidate(
            backend_type=_shown(entry_point.name),
            distribution=_shown(headers.get("Name", "")),
            version=_shown(headers.get("Version", "")),
            target=_shown(entry_point.value),
            origin=_shown(os.path.realpath(str(distribution))),
            ownership=owner.ownership,
            imported_from=_shown(owner.file),
        )


def _entry_points(distribution: Distribution) -> tuple[EntryPoint, ...]:
    # One broken file somewhere on the path must not stop a sidecar that has nothing to do with it.
    try:
        return tuple(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
    except (TypeError, ValueError, AttributeError, OSError) as error:
        _log.warning(
            "entry points that can't be read are ignored",
            extra={"origin": _shown(str(distribution)), "error": type(error).__name__},
        )
        return ()


def _read(distribution: Distribution, name: str) -> str:
    try:
        return distribution.read_text(name) or ""
    except (OSError, UnicodeDecodeError):
        return ""


def _files(distribution: Distribution) -> frozenset[str]:
    try:
        rows = [row[0] for row in csv.reader(_read(distribution, "RECORD").splitlines()) if row]
    except csv.Error:
        return frozenset()
    root = Path(str(distribution.locate_file("")))
    return frozenset(os.path.realpath(root / row) for row in rows if _is_below_root(row))


def _is_below_root(row: str) -> bool:
    # RECORD may name scripts outside of the installation directory; no module is imported from there.
    path = PurePosixPath(row)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in row


def _editable_project(distribution: Distribution) -> str | None:
    # PEP 610: the installer writes down what it was pointed at.
    try:
        direct_url = json.loads(_read(distribution, "direct_url.json") or "{}")
        url, is_editable = direct_url["url"], direct_url["dir_info"]["editable"]
        parts = urlsplit(str(url))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    path = url2pathname(parts.path)
    if is_editable is not True or parts.scheme != "file" or not path or "\0" in path:
        return None
    project = os.path.realpath(path)
    # Everything lies in the root directory.
    return None if project == os.sep else project


def _shown(text: str) -> str:
    if text.isprintable() and len(text) <= _SHOWN_LENGTH:
        return text
    escaped = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return escaped if len(escaped) <= _SHOWN_LENGTH else escaped[:_SHOWN_LENGTH] + "..."
