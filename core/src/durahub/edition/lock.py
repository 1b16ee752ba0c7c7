"""The lock file: which files of which versions a machine may load, written down once and compared after.

A lock only narrows what the build allows. It is a file of the operator's own: whoever can change it, and
the installation, is not held back by it; what it finds is a change that nobody meant.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from durahub.edition.admit import Verdict
from durahub.edition.candidate import Candidate, Ownership
from durahub.edition.fingerprint import Fingerprint, take_fingerprint
from durahub.errors import ConfigError

LOCK_VARIABLE = "DURAHUB_BACKENDS_LOCK"
"""Environment variable with the path of a lock file that every start is held to."""

DEFAULT_LOCK = "durahub-backends.lock"
"""Where `durahub backends lock` writes unless told otherwise."""

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedBackend:
    """One backend as it was when the lock was written.

    Attributes:
        distribution: Name of the distribution.
        version: Version of the distribution.
        digest: Of its files, see `Fingerprint`.
    """

    distribution: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLock:
    """What may be loaded, by backend type; nothing else may.

    Attributes:
        edition: The build that wrote it.
        backends: By backend type.
    """

    edition: str
    backends: Mapping[str, LockedBackend]

    def fault_of(self, candidate: Candidate, found: Fingerprint) -> str | None:
        """Return what about a candidate is not as locked, or None if all is."""
        locked = self.backends.get(candidate.backend_type)
        if locked is None:
            return f"the lock does not name {candidate.backend_type!r}"
        here = LockedBackend(
            distribution=candidate.distribution, version=candidate.version, digest=found.digest
        )
        # An editable install has no digest, and neither may the lock.
        if here == locked and found.digest:
            return None
        if (here.distribution, here.version) != (locked.distribution, locked.version):
            return f"the lock names {locked.distribution} {locked.version}"
        there = locked.digest or "no digest"
        return f"its files are {here.digest or 'not recorded'}, and the lock has {there}"

    def to_json(self) -> str:
        """Return the text of the file."""
        backends = {
            name: {"distribution": one.distribution, "version": one.version, "digest": one.digest}
            for name, one in sorted(self.backends.items())
        }
        content = {"format": _FORMAT, "edition": self.edition, "backends": backends}
        return json.dumps(content, indent=2) + "\n"


def make_lock(edition: str, verdicts: Sequence[Verdict]) -> BackendLock:
    """Return a lock of everything that is admitted and has a list of files.

    An editable install is left out: its files are meant to change.
    """
    admitted = [
        verdict.candidate
        for verdict in verdicts
        if verdict.refusal is None and verdict.candidate.ownership is Ownership.RECORDED
    ]
    return BackendLock(
        edition=edition,
        backends={
            candidate.backend_type: LockedBackend(
                distribution=candidate.distribution,
                version=candidate.version,
                digest=take_fingerprint(candidate).digest,
            )
            for candidate in admitted
        },
    )


def read_lock(file: Path) -> BackendLock:
    """Return the lock that a file holds.

    Raises:
        ConfigError: It can't be read, or is no lock.
    """
    try:
        return _parse(json.loads(file.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(
            f"the lock can't be read: {error.strerror}", location=str(file)
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "it is no lock of this version; write it anew with: durahub backends lock",
            location=str(file),
        ) from error


def find_lock() -> BackendLock | None:
    """Return the lock to which the environment holds this process, if it does.

    Raises:
        ConfigError: It names a file that can't be read, or is no lock.
    """
    place = os.environ.get(LOCK_VARIABLE)
    return None if place is None else read_lock(Path(place))


def _parse(content: Any) -> BackendLock:
    if content["format"] != _FORMAT:
        raise ValueError("another format")
    return BackendLock(
        edition=str(content["edition"]),
        backends={
            str(name): LockedBackend(
                distribution=str(one["distribution"]),
                version=str(one["version"]),
                digest=str(one["digest"]),
            )
            for name, one in content["backends"].items()
        },
    )
