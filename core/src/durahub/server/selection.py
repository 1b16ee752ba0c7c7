"""From a configuration to the backend that it selects."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from durahub import config
from durahub.backend import Backend, Component
from durahub.config import Configuration, validate_store_configuration
from durahub.edition import (
    Edition,
    Verdict,
    admit,
    count_decisions,
    find_lock,
    load,
    scan,
    select,
)
from durahub.server.status import BuildIdentity, core_version

log = logging.getLogger("durahub.edition")


class SelectedBackend(NamedTuple):
    """A backend that a build may load, with valid settings.

    Attributes:
        backend: Not open.
        identity: Where it comes from.
    """

    backend: Backend
    identity: BuildIdentity


def select_backend(edition: Edition, configuration: Configuration) -> SelectedBackend:
    """Load the plugin that a configuration selects, and make its backend; the store is not touched.

    Args:
        edition: Which backends may be loaded.
        configuration: Which one it is, and its settings.

    Raises:
        ConfigError: The backend type is unknown, its settings are wrong, or the lock file is unusable.
        PluginError: The plugin is not there, not admitted, or not usable.
    """
    candidates = scan()
    verdict = select(
        edition, configuration.backend_type, candidates, location=configuration.backend_location
    )
    plugin = load(verdict, lock=find_lock())
    decisions = count_decisions(admit(edition, candidates))
    _log_decision(edition, verdict, decisions)
    return SelectedBackend(
        backend=plugin.create(validate_store_configuration(plugin.settings, configuration)),
        identity=BuildIdentity(
            version=core_version(),
            edition=edition.name,
            backend_type=plugin.name,
            backend_distribution=verdict.candidate.distribution,
            backend_version=verdict.candidate.version,
            decisions=decisions,
        ),
    )


def components_for(components: Iterable[config.Component]) -> tuple[Component, ...]:
    """Return components as backends get them, secrets in plain text."""
    return tuple(
        Component(
            name=one.name,
            type=one.type,
            version=one.version,
            metadata={name: value.get_secret_value() for name, value in one.metadata.items()},
            at=str(one.at),
        )
        for one in components
    )


def _log_decision(edition: Edition, verdict: Verdict, decisions: Mapping[str, int]) -> None:
    candidate = verdict.candidate
    log.info(
        "Backend admitted",
        extra={
            "edition": edition.name,
            "backend_type": candidate.backend_type,
            "distribution": candidate.distribution,
            "version": candidate.version,
            "origin": candidate.origin,
            "ownership": candidate.ownership.value,
            "decisions": dict(decisions),
        },
    )
