"""From a configuration to the backend that it selects."""

from __future__ import annotations

from typing import NamedTuple

from durahub.backend import Backend
from durahub.config import Configuration, validate_store_configuration
from durahub.edition import Edition, load, scan, select
from durahub.server.status import BuildIdentity, core_version


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
        ConfigError: The backend type is unknown, or its settings are wrong.
        PluginError: The plugin is not there, not admitted, or not usable.
    """
    verdict = select(
        edition, configuration.backend_type, scan(), location=configuration.backend_location
    )
    plugin = load(verdict)
    return SelectedBackend(
        backend=plugin.create(validate_store_configuration(plugin.settings, configuration)),
        identity=BuildIdentity(
            version=core_version(),
            edition=edition.name,
            backend_type=plugin.name,
            backend_distribution=verdict.candidate.distribution,
            backend_version=verdict.candidate.version,
        ),
    )
