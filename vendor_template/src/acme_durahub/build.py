"""Acme's build of the sidecar: the open-source one, with Acme's backend in place of `actors`.

This constant is all that decides what the command `acme-durahub` may load. No setting widens it.
"""

from __future__ import annotations

from typing import NoReturn

from durahub.cli.main import main as run_build
from durahub.edition import OSS, Allowed

ACME = (
    OSS.renamed("acme")
    .remove("actors")
    .add(Allowed(backend_type="acme", distribution="acme-durahub", module="acme_durahub.plugin"))
    .with_default("acme")
)
"""What this build may load: sqlite, postgres and, where nothing else is asked for, acme."""


def main() -> NoReturn:
    """Run the command line of this build."""
    run_build(ACME, program="acme-durahub")
