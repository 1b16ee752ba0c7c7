"""Limits and retention: from the configuration to what the engine is told."""

from __future__ import annotations

from collections.abc import Sequence

from durahub.backend import ClaimLimit, ClaimLimits, Support
from durahub.config import Configuration, NamedLimit
from durahub.engine import RetentionPolicy
from durahub.errors import ConfigError


def claim_limits(configuration: Configuration) -> ClaimLimits:
    """Return the limits that a configuration sets."""
    return ClaimLimits(
        instances=_limit(
            configuration.global_max_concurrent_workflows,
            configuration.workflow_concurrency_limits,
        ),
        activities=_limit(
            configuration.global_max_concurrent_activities,
            configuration.activity_concurrency_limits,
        ),
    )


def retention_of(configuration: Configuration) -> RetentionPolicy:
    """Return how long a configuration keeps ended instances."""
    kept = configuration.state_retention
    return RetentionPolicy.most_specific(
        any_terminal=kept.any_terminal,
        completed=kept.completed,
        failed=kept.failed,
        terminated=kept.terminated,
    )


def refuse_unsupported_limits(
    configuration: Configuration, backend_type: str, support: Support
) -> None:
    """Refuse limits that the backend would not respect.

    Args:
        configuration: What is asked for.
        backend_type: The selected backend.
        support: How it stands to limits.

    Raises:
        ConfigError: With the place of the setting, the backend, and the backend's reason.
    """
    if configuration.limits_location and not support:
        raise ConfigError(
            f"the backend {backend_type!r} has no limits over all sidecars of an application:"
            f" {support.reason}; remove the setting, or limit each sidecar by maxConcurrentWorkflows"
            " and maxConcurrentActivities, or select another backend",
            location=configuration.limits_location,
        )


def _limit(total: int | None, named: Sequence[NamedLimit]) -> ClaimLimit:
    by_name = {
        limit.name: limit.max_concurrent for limit in named if limit.max_concurrent is not None
    }
    return ClaimLimit(total=total, by_name=by_name)
