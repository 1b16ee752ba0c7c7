from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from durahub.config import (
    Configuration,
    NamedLimit,
    StateRetentionPolicy,
    load_configuration,
)
from durahub.config.tree import to_plain
from durahub.errors import ConfigError
from pydantic import ValidationError

Load = Callable[..., Configuration]

PROPOSAL = """\
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: daprConfig
spec:
  workflow:
    backendType: "postgres"
    maxConcurrentWorkflows: 255
    maxConcurrentActivities: 254
    storeConfiguration:
      connectionString: "postgres://postgres:secret@localhost:5432/workflowdb?sslmode=disable"
"""


def test_load_no_file_returns_defaults() -> None:
    configuration = load_configuration([], environ={})
    assert configuration == Configuration()
    assert configuration.backend_type is None
    assert configuration.max_concurrent_workflows is None


def test_load_example_of_the_proposal_reads_every_key() -> None:
    Path("dapr.yaml").write_text(PROPOSAL)
    configuration = load_configuration([Path("dapr.yaml")], environ={})
    assert configuration.name == "daprConfig"
    assert configuration.sources == ("dapr.yaml",)
    assert configuration.backend_type == "postgres"
    assert configuration.backend_location == "dapr.yaml:7: spec.workflow.backendType"
    assert configuration.max_concurrent_workflows == 255
    assert configuration.max_concurrent_activities == 254
    assert configuration.ignored_sections == ()
    assert configuration.store.at is not None
    assert configuration.store.at.line == 10
    assert to_plain(configuration.store.table) == {
        "connectionString": "postgres://postgres:secret@localhost:5432/workflowdb?sslmode=disable"
    }


def test_load_keys_without_a_value_are_not_given(load_workflow: Load) -> None:
    configuration = load_workflow(
        "backendType:\nstoreConfiguration:\nstateRetentionPolicy:\nworkflowConcurrencyLimits: ~"
    )
    assert configuration == Configuration(name="test", sources=("a.yaml",))


def test_load_several_files_takes_the_last_name() -> None:
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(PROPOSAL.replace("daprConfig", name))
    Path("three.yaml").write_text(PROPOSAL.replace("name: daprConfig", "name:"))
    paths = [Path(f"{name}.yaml") for name in ("one", "two", "three")]
    assert load_configuration(paths, environ={}).name == "two"


def test_load_names_of_dapr_mean_the_same(load_workflow: Load) -> None:
    configuration = load_workflow(
        "maxConcurrentWorkflowInvocations: 5\nmaxConcurrentActivityInvocations: 6"
    )
    assert configuration.max_concurrent_workflows == 5
    assert configuration.max_concurrent_activities == 6


@pytest.mark.parametrize("other", ["5", '"5"', "+5"])
def test_load_both_names_with_equal_values_is_accepted(load_workflow: Load, other: str) -> None:
    configuration = load_workflow(
        f"maxConcurrentWorkflowInvocations: {other}\nmaxConcurrentWorkflows: 5"
    )
    assert configuration.max_concurrent_workflows == 5


@pytest.mark.parametrize("value", ["0", "-1", '"-3"', "null", ""])
def test_load_limit_that_is_no_limit_is_unlimited(load_workflow: Load, value: str) -> None:
    configuration = load_workflow(f"maxConcurrentWorkflows: {value}")
    assert configuration.max_concurrent_workflows is None


def test_load_limits_over_all_sidecars(load_workflow: Load) -> None:
    configuration = load_workflow(
        """
        globalMaxConcurrentWorkflowInvocations: 10
        globalMaxConcurrentActivityInvocations: 20
        workflowConcurrencyLimits: [{name: Order, maxConcurrent: 2}]
        activityConcurrencyLimits:
        - name: Ship
          maxConcurrent: 0
        """
    )
    assert configuration.global_max_concurrent_workflows == 10
    assert configuration.global_max_concurrent_activities == 20
    (order,) = configuration.workflow_concurrency_limits
    assert (order.name, order.max_concurrent) == ("Order", 2)
    (ship,) = configuration.activity_concurrency_limits
    assert (ship.name, ship.max_concurrent) == ("Ship", None)
    assert configuration.limits_location == (
        "a.yaml:7: spec.workflow.globalMaxConcurrentWorkflowInvocations"
    )


def test_load_retention_policy(load_workflow: Load) -> None:
    configuration = load_workflow(
        "stateRetentionPolicy: {anyTerminal: 168h, completed: 1h30m, failed: 0s, terminated: 0}"
    )
    retention = configuration.state_retention
    assert retention.any_terminal == timedelta(days=7)
    assert retention.completed == timedelta(hours=1, minutes=30)
    assert retention.failed == retention.terminated == timedelta(0)
    assert load_workflow("stateRetentionPolicy: {}").state_retention == StateRetentionPolicy()


def test_load_limits_that_are_none_have_no_place(load_workflow: Load) -> None:
    configuration = load_workflow(
        """
        globalMaxConcurrentWorkflowInvocations: 0
        workflowConcurrencyLimits: []
        """
    )
    assert configuration.limits_location == ""


@pytest.mark.parametrize(
    "setting",
    [
        "globalMaxConcurrentActivityInvocations: 1",
        "workflowConcurrencyLimits: [{name: A, maxConcurrent: 0}, {name: B, maxConcurrent: 1}]",
        "activityConcurrencyLimits: [{name: A, maxConcurrent: '2'}]",
    ],
)
def test_load_limit_over_all_sidecars_tells_where_it_is(load_workflow: Load, setting: str) -> None:
    key = setting.partition(":")[0]
    assert load_workflow(setting).limits_location == f"a.yaml:7: spec.workflow.{key}"


@pytest.mark.parametrize(
    "spec", ["", "spec:", "spec: {}", "spec: {workflow: }", "spec: {workflow: {}}"]
)
def test_load_without_workflow_section_returns_defaults(spec: str) -> None:
    Path("a.yaml").write_text(f"apiVersion: dapr.io/v1alpha1\nkind: Configuration\n{spec}\n")
    configuration = load_configuration([Path("a.yaml")], environ={})
    assert configuration == Configuration(sources=("a.yaml",))


def test_load_other_sections_of_dapr_names_them_and_reads_nothing_in_them() -> None:
    Path("a.yaml").write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec:\n"
        "  secrets: {scopes: '${UNSET}'}\n  mtls:\n    enabled: false\n  workflow: {}\n"
    )
    Path("b.yaml").write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec: {mtls: , features: []}\n"
    )
    configuration = load_configuration([Path("a.yaml"), Path("b.yaml")], environ={})
    assert configuration.ignored_sections == ("secrets", "mtls", "features")


def test_load_several_files_later_wins_key_by_key(load_workflow: Load) -> None:
    configuration = load_workflow(
        """
        backendType: postgres
        maxConcurrentWorkflows: 1
        maxConcurrentActivities: 2
        storeConfiguration: {pool: {size: 1, idle: 2}, names: [a, b]}
        """,
        """
        maxConcurrentWorkflowInvocations: 10
        storeConfiguration: {pool: {size: 10}, names: [c]}
        """,
        "maxConcurrentActivities:",
    )
    assert configuration.sources == ("a.yaml", "b.yaml", "c.yaml")
    assert configuration.backend_type == "postgres"
    assert configuration.max_concurrent_workflows == 10
    assert configuration.max_concurrent_activities is None
    assert to_plain(configuration.store.table) == {"pool": {"size": 10, "idle": 2}, "names": ["c"]}


def test_load_is_yaml_1_2(load_workflow: Load) -> None:
    configuration = load_workflow(
        "storeConfiguration: {a: yes, b: on, c: 0o17, d: true, e: ~, f: 2026-01-02, g: 1.5}"
    )
    plain = to_plain(configuration.store.table)
    assert isinstance(plain, dict)
    assert {k: str(v) for k, v in plain.items()} == {
        "a": "yes",
        "b": "on",
        "c": "15",
        "d": "True",
        "e": "None",
        "f": "2026-01-02",
        "g": "1.5",
    }


def test_load_aliases_stand_for_what_they_name(load_workflow: Load) -> None:
    configuration = load_workflow("storeConfiguration: {a: &x {k: 1}, b: *x, c: &x {k: 2}, d: *x}")
    plain = to_plain(configuration.store.table)
    assert plain == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2}, "d": {"k": 2}}


def test_load_file_with_byte_order_mark_is_accepted() -> None:
    Path("a.yaml").write_text(PROPOSAL, encoding="utf-8-sig")
    assert load_configuration([Path("a.yaml")], environ={}).name == "daprConfig"


def test_change_configuration_raises(load_workflow: Load) -> None:
    with pytest.raises(ValidationError):
        load_workflow("").backend_type = "other"


def test_load_second_file_wrong_raises_with_its_name(load_workflow: Load) -> None:
    with pytest.raises(ConfigError, match=r"^b\.yaml:7: spec\.workflow\.backendTyp: unknown key"):
        load_workflow("backendType: sqlite", "backendTyp: sqlite")


def test_compare_limits_by_value() -> None:
    assert NamedLimit.model_validate(
        {"name": "x", "maxConcurrent": 1}
    ) == NamedLimit.model_validate({"name": "x", "maxConcurrent": "1"})
