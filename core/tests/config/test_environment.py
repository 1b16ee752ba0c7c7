from __future__ import annotations

from collections.abc import Callable

import pytest
from durahub.config import Configuration
from durahub.config.tree import to_plain
from durahub.errors import ConfigError

Load = Callable[..., Configuration]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("x${A}y${B}z", "xoneytwoz"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A and $5 and {A}", "$A and $5 and {A}"),
        ("${LOOP}", "${A}"),
        ("${EMPTY}", ""),
    ],
)
def test_expand_string_replaces_references_once(
    load_workflow: Load, text: str, expected: str
) -> None:
    environ = {"A": "one", "B": "two", "LOOP": "${A}", "EMPTY": ""}
    configuration = load_workflow(f"storeConfiguration: {{list: ['{text}']}}", environ=environ)
    assert to_plain(configuration.store.table) == {"list": [expected]}


def test_expand_env_ref_mapping_becomes_the_value(load_workflow: Load) -> None:
    configuration = load_workflow(
        "backendType: {envRef: KIND}\nstoreConfiguration: {dsn: {envRef: DSN}, n: {envRef: N}}",
        environ={"KIND": "postgres", "DSN": "${KIND}", "N": "7"},
    )
    assert configuration.backend_type == "postgres"
    assert to_plain(configuration.store.table) == {"dsn": "${KIND}", "n": "7"}


def test_expand_mapping_with_more_keys_is_no_reference(load_workflow: Load) -> None:
    configuration = load_workflow("storeConfiguration: {a: {envRef: A, b: 1}}")
    assert to_plain(configuration.store.table) == {"a": {"envRef": "A", "b": 1}}


def test_expand_key_leaves_it_alone(load_workflow: Load) -> None:
    configuration = load_workflow("storeConfiguration: {'${A}': 1}")
    assert to_plain(configuration.store.table) == {"${A}": 1}


def test_expand_limit_reads_the_number(load_workflow: Load) -> None:
    configuration = load_workflow("maxConcurrentWorkflows: ${MAX}", environ={"MAX": "12"})
    assert configuration.max_concurrent_workflows == 12


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        (
            "storeConfiguration:\n  dsn: 'a${NOPE}'",
            "a.yaml:8: spec.workflow.storeConfiguration.dsn: environment variable NOPE is not set",
        ),
        (
            "storeConfiguration:\n  hosts: [x, {envRef: NOPE}]",
            (
                "a.yaml:8: spec.workflow.storeConfiguration.hosts[1]:"
                " environment variable NOPE is not set"
            ),
        ),
        (
            "backendType: ${not a name}",
            (
                "a.yaml:7: spec.workflow.backendType: '${' does not start a reference such as ${NAME};"
                " write '$${' for a literal '${'"
            ),
        ),
        (
            "backendType: {envRef: [A]}",
            (
                "a.yaml:7: spec.workflow.backendType.envRef:"
                " expected the name of an environment variable"
            ),
        ),
        (
            "backendType: {envRef: A-B}",
            (
                "a.yaml:7: spec.workflow.backendType.envRef:"
                " expected the name of an environment variable"
            ),
        ),
    ],
)
def test_expand_wrong_reference_raises_with_place_and_variable(
    load_workflow: Load, workflow: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_workflow(workflow, environ={"A": "value"})
    assert str(caught.value) == message
