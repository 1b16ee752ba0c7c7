"""What a build is: which backends it may load, and how that is decided before their code runs.

    scan    reads the metadata of everything installed       -> candidates
    admit   compares the candidates with the build's allowlist -> verdicts
    select  picks the verdict of the backend type asked for
    load    imports the selected plugin, and nothing else

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

from durahub.edition.admit import Status, Verdict, admit
from durahub.edition.candidate import Candidate, Ownership
from durahub.edition.edition import Allowed, Edition
from durahub.edition.fingerprint import Fingerprint, take_fingerprint
from durahub.edition.inventory import Availability, InventoryEntry, take_inventory
from durahub.edition.load import load, load_backend
from durahub.edition.oss import OSS
from durahub.edition.rules import Reason, Refusal
from durahub.edition.scan import ENTRY_POINT_GROUP, scan
from durahub.edition.select import select

__all__ = [
    "ENTRY_POINT_GROUP",
    "OSS",
    "Allowed",
    "Availability",
    "Candidate",
    "Edition",
    "Fingerprint",
    "InventoryEntry",
    "Ownership",
    "Reason",
    "Refusal",
    "Status",
    "Verdict",
    "admit",
    "load",
    "load_backend",
    "scan",
    "select",
    "take_fingerprint",
    "take_inventory",
]
