"""What a build is: which backends it may load, and how that is decided before their code runs.

    scan    reads the metadata of everything installed       -> candidates
    admit   compares the candidates with the build's allowlist -> verdicts
    select  picks the verdict of the backend type asked for
    load    compares the selected plugin's files with its RECORD and with the lock file, if there is one,
            and imports it, and nothing else

An `Edition` is a constant in a build's own source code. No flag, variable, file or configuration key
widens it; configuration only selects. A vendor's build is another constant:

    ACME = (
        OSS.renamed("acme")
        .add(Allowed(backend_type="acme", distribution="acme-durahub", module="acme_durahub.plugin"))
        .with_default("acme")
    )

This is policy, not a sandbox. Whoever can install packages can install one that carries an allowed
distribution's name, and a `.pth` file of any installed package runs when Python starts, before
Durahub does. What the allowlist gives is that installing a package never enables it, and that a
mix-up, a typo-squatted name or a second claimant stops the process with an explanation.
"""

from durahub.edition.admit import Status, Verdict, admit, count_decisions, format_decisions
from durahub.edition.candidate import Candidate, Ownership
from durahub.edition.edition import Allowed, Edition
from durahub.edition.fingerprint import Fingerprint, take_fingerprint
from durahub.edition.inventory import Availability, InventoryEntry, take_inventory
from durahub.edition.load import examine, load, load_backend
from durahub.edition.lock import (
    DEFAULT_LOCK,
    LOCK_VARIABLE,
    BackendLock,
    LockedBackend,
    find_lock,
    make_lock,
    read_lock,
)
from durahub.edition.oss import OSS
from durahub.edition.rules import Reason, Refusal
from durahub.edition.scan import ENTRY_POINT_GROUP, scan
from durahub.edition.select import select

__all__ = [
    "DEFAULT_LOCK",
    "ENTRY_POINT_GROUP",
    "LOCK_VARIABLE",
    "OSS",
    "Allowed",
    "Availability",
    "BackendLock",
    "Candidate",
    "Edition",
    "Fingerprint",
    "InventoryEntry",
    "LockedBackend",
    "Ownership",
    "Reason",
    "Refusal",
    "Status",
    "Verdict",
    "admit",
    "count_decisions",
    "examine",
    "find_lock",
    "format_decisions",
    "load",
    "load_backend",
    "make_lock",
    "read_lock",
    "scan",
    "select",
    "take_fingerprint",
    "take_inventory",
]
