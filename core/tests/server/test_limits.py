"""Limits over all sidecars: from the configuration to the engine, or a clear refusal."""

from __future__ import annotations

import pytest
from durahub.backend import NATIVE, NO_LIMITS, ClaimLimit, ClaimLimits, Support, SupportLevel
from durahub.config import Configuration, NamedLimit
from durahub.errors import ConfigError
from durahub.server.limits import claim_limits, refuse_unsupported_limits

NONE = Support(SupportLevel.NONE, "its counts lag behind")


def named(**limits: int | None) -> tuple[NamedLimit, ...]:
    return tuple(
        NamedLimit.model_validate({"name": name, "maxConcurrent": most})
        for name, most in limits.items()
    )


def test_configuration_becomes_limits() -> None:
    configuration = Configuration(
        global_max_concurrent_workflows=10,
        global_max_concurrent_activities=20,
        workflow_concurrency_limits=named(Order=2, Cart=None),
        activity_concurrency_limits=named(ship=1),
    )
    assert claim_limits(configuration) == ClaimLimits(
        instances=ClaimLimit(total=10, by_name={"Order": 2}),
        activities=ClaimLimit(total=20, by_name={"ship": 1}),
    )


def test_configuration_without_limits_over_all_sidecars_is_no_limits() -> None:
    configuration = Configuration(
        max_concurrent_workflows=5, activity_concurrency_limits=named(Cart=0)
    )
    assert claim_limits(configuration) == NO_LIMITS
    assert not claim_limits(configuration)


def test_limits_that_the_backend_lacks_are_refused_with_place_and_reason() -> None:
    configuration = Configuration(
        limits_location="a.yaml:7: spec.workflow.workflowConcurrencyLimits"
    )
    with pytest.raises(ConfigError) as caught:
        refuse_unsupported_limits(configuration, "acme", NONE)
    assert str(caught.value) == (
        "a.yaml:7: spec.workflow.workflowConcurrencyLimits: the backend 'acme' has no limits over all"
        " sidecars of an application: its counts lag behind; remove the setting, or limit each sidecar"
        " by maxConcurrentWorkflows and maxConcurrentActivities, or select another backend"
    )
    refuse_unsupported_limits(configuration, "acme", NATIVE)


def test_backend_that_lacks_limits_serves_a_configuration_without() -> None:
    refuse_unsupported_limits(Configuration(), "acme", NONE)
