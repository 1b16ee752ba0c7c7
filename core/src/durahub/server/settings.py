"""Everything that a sidecar reads at its start, and reads again when it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from durahub.config import (
    Component,
    Configuration,
    load_components,
    load_configuration,
    load_secret_stores,
)
from durahub.config.tree import to_plain
from durahub.errors import ConfigError
from durahub.server.access import Token
from durahub.server.options import SidecarOptions
from durahub.server.tokens import tokens_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What files and environment say together.

    Attributes:
        configuration: The Dapr configuration.
        components: The state components for this application.
        tokens: What callers have to present; empty if nothing is asked for.
    """

    configuration: Configuration
    components: tuple[Component, ...]
    tokens: tuple[Token, ...] = field(repr=False)


def load_settings(options: SidecarOptions, environ: Mapping[str, str]) -> Settings:
    """Read the files that the options name.

    Raises:
        ConfigError: Something in them is wrong, or everybody who reaches the sidecar could do
            everything without anybody having said so.
    """
    paths, app_id = options.resource_paths, options.app_id
    stores = load_secret_stores(paths, environ=environ, app_id=app_id)
    configuration = load_configuration(options.config_paths, environ=environ, secret_stores=stores)
    tokens = tokens_of(configuration, options.api_token)
    if not tokens and not options.listens_without_token:
        _refuse_exposure(options.hosts)
    return Settings(
        configuration=configuration,
        components=load_components(paths, environ=environ, app_id=app_id),
        tokens=tokens,
    )


def refuse_fixed_changes(running: Settings, wanted: Settings) -> None:
    """Return if a running sidecar can go by other settings.

    Raises:
        ConfigError: Something differs that takes a restart; with what is running and what is wanted,
            except where it may be a secret.
    """
    now, then = running.configuration, wanted.configuration
    if now.backend_type != then.backend_type:
        raise _needs_restart("spec.workflow.backendType", now.backend_type, then.backend_type)
    if to_plain(now.store.table) != to_plain(then.store.table):
        raise _needs_restart("spec.workflow.storeConfiguration")
    for key, attribute in _FIXED_LIMITS.items():
        if getattr(now, attribute) != getattr(then, attribute):
            raise _needs_restart(key, getattr(now, attribute), getattr(then, attribute))
    if [_essence(one) for one in running.components] != [
        _essence(one) for one in wanted.components
    ]:
        raise _needs_restart("the components under --resources-path")


_FIXED_LIMITS = {
    "spec.workflow.globalMaxConcurrentWorkflowInvocations": "global_max_concurrent_workflows",
    "spec.workflow.globalMaxConcurrentActivityInvocations": "global_max_concurrent_activities",
    "spec.workflow.workflowConcurrencyLimits": "workflow_concurrency_limits",
    "spec.workflow.activityConcurrencyLimits": "activity_concurrency_limits",
}


def _needs_restart(key: str, now: object = "***", then: object = "***") -> ConfigError:
    return ConfigError(
        f"a change takes a restart: {now!r} is in use, {then!r} is wanted", location=key
    )


def _essence(component: Component) -> tuple[object, ...]:
    return (component.name, component.type, component.version, dict(component.metadata))


def _refuse_exposure(hosts: tuple[str, ...]) -> None:
    exposed = [host for host in hosts if not ip_address(host).is_loopback]
    if exposed:
        raise ConfigError(
            f"whoever reaches {', '.join(exposed)} could do everything with this sidecar: set"
            " DAPR_API_TOKEN or spec.api.tokens, or say --listen-without-token if that is meant",
            location="--dapr-listen-addresses",
        )
