"""What is tested: a backend as it is installed, and how its vendor lets the kit make it."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from durahub.backend import ContractVersion
from durahub.edition import (
    Allowed,
    Candidate,
    Edition,
    Ownership,
    Verdict,
    admit,
    load,
    scan,
    take_fingerprint,
)
from packaging.utils import canonicalize_name

from durahub_conformance.harness import TOLD, Harness

HARNESS_GROUP = "durahub.conformance"
"""The entry-point group in which a plugin names its harness, as `module:Class`."""


class UsageError(Exception):
    """The kit can't begin; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An installed backend.

    Attributes:
        backend_type: What users write as `backendType`.
        distribution: Name of the distribution.
        version: Version of the distribution.
        digest: What its files are, see `durahub.edition.Fingerprint`; empty for an editable install.
        contract: The version of the contract that it was written for.
        harness: `module:Class`.
    """

    backend_type: str
    distribution: str
    version: str
    digest: str
    contract: ContractVersion
    harness: str


def find_subject(backend_type: str, *, harness: str = "") -> Subject:
    """Return the backend that is installed under a type, after loading its plugin as a build would.

    Args:
        backend_type: Its type.
        harness: `module:Class`; empty: as the distribution's entry point says.

    Raises:
        UsageError: Nothing, or more than one distribution, provides it, or there is no harness.
        PluginError: The plugin is not what it should be.
    """
    candidate = find_candidate(backend_type)
    plugin = load(_admitted(candidate))
    return Subject(
        backend_type=backend_type,
        distribution=candidate.distribution,
        version=candidate.version,
        digest=take_fingerprint(candidate).digest,
        contract=plugin.contract,
        harness=harness or _announced_harness(candidate),
    )


def find_candidate(backend_type: str) -> Candidate:
    """Return the only installed claim to be a backend of this type.

    Raises:
        UsageError: There is none, or more than one.
    """
    found = [candidate for candidate in scan() if candidate.backend_type == backend_type]
    if len(found) != 1:
        claims = ", ".join(candidate.provider for candidate in found) or "nothing that is installed"
        raise UsageError(f"exactly one distribution has to provide {backend_type!r}; {claims} does")
    return found[0]


def _admitted(candidate: Candidate) -> Verdict:
    # A build for this one plugin: it is held to all the rules of admission.
    entry = Allowed(
        backend_type=candidate.backend_type,
        distribution=candidate.distribution,
        module=candidate.target,
    )
    edition = Edition(name="durahub-conformance", allowlist=(entry,), allow_editable=True)
    return admit(edition, [candidate])[0]


def _announced_harness(candidate: Candidate) -> str:
    backend_type = candidate.backend_type
    own = canonicalize_name(candidate.distribution)
    found = [
        one.value
        for one in entry_points(group=HARNESS_GROUP, name=backend_type)
        if one.dist is not None and canonicalize_name(one.dist.name) == own
    ]
    if not found:
        raise UsageError(
            f"{candidate.distribution} names no harness for {backend_type!r}: add an entry point"
            f' {backend_type!r} to its group "{HARNESS_GROUP}", or give --harness module:Class'
        )
    return found[0]


def is_editable(candidate: Candidate) -> bool:
    """Whether what is tested is a source directory, which has no digest."""
    return candidate.ownership is Ownership.EDITABLE


def hand_over(harness: str, settings: Mapping[str, str]) -> None:
    """Tell the suite, in this process and in those that it starts, which harness to use."""
    os.environ[TOLD] = json.dumps({"harness": harness, "settings": dict(settings)})


def take_over() -> type[Harness]:
    """Return the harness that was handed over.

    Raises:
        UsageError: None was, or it is no harness.
    """
    told = json.loads(os.environ.get(TOLD, "{}"))
    if not told:
        raise UsageError("this module is run by: durahub-conformance run --backend TYPE")
    return load_harness(told["harness"])


def load_harness(reference: str) -> type[Harness]:
    """Import a harness by `module:Class`.

    Raises:
        UsageError: It can't be imported, or is no harness.
    """
    module, _, name = reference.partition(":")
    try:
        harness = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"the harness {reference!r} can't be imported: {error}") from error
    if not (isinstance(harness, type) and issubclass(harness, Harness)):
        raise UsageError(f"{reference!r} is no subclass of durahub_conformance.Harness")
    return harness
