"""The open-source build."""

from __future__ import annotations

from durahub.edition.edition import Allowed, Edition

OSS = Edition(
    name="oss",
    allowlist=(
        Allowed(
            backend_type="actors",
            distribution="durahub-actors",
            module="durahub_actors.plugin",
            default=True,
        ),
        Allowed(
            backend_type="sqlite",
            distribution="durahub-sqlite",
            module="durahub_sqlite.plugin",
        ),
        Allowed(
            backend_type="postgres",
            distribution="durahub-postgres",
            module="durahub_postgres.plugin",
        ),
    ),
    # A checkout of this repository installs the three distributions as editable. It takes the same
    # deliberate act as installing a patched wheel of that name, so nothing is lost by accepting it.
    allow_editable=True,
)
"""Allows the three bundled backends and nothing else."""
