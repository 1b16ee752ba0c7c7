from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from durahub.config import Configuration, load_configuration, load_secret_stores
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


VAULT = """\
kind: Component
metadata: {name: vault}
spec:
  type: secretstores.local.env
"""


def _load_with_stores(workflow: str, **environ: str) -> Configuration:
    Path("components.yaml").write_text(VAULT)
    Path("a.yaml").write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\n\n\nspec:\n  workflow:\n    "
        f"storeConfiguration: {workflow}\n"
    )
    stores = load_secret_stores([Path("components.yaml")], environ=environ)
    return load_configuration([Path("a.yaml")], environ={}, secret_stores=stores)


@pytest.mark.parametrize(
    "reference",
    ["{name: DSN}", "{name: DSN, key: DSN}", "{secretStore: vault, name: DSN, key: }"],
)
def test_a_secret_reference_becomes_the_secret(reference: str) -> None:
    configuration = _load_with_stores(f"{{dsn: {{secretKeyRef: {reference}}}}}", DSN="${X}")
    assert to_plain(configuration.store.table) == {"dsn": "${X}"}


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b" a\r\n", " a"), (b"\n\n", "\n"), (b"", "")],
)
def test_a_file_reference_becomes_the_file_s_content(
    load_workflow: Load, content: bytes, value: str
) -> None:
    Path("mounted").write_bytes(content)
    configuration = load_workflow("storeConfiguration: {dsn: {fileRef: mounted}}")
    assert to_plain(configuration.store.table) == {"dsn": value}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "{secretKeyRef: {name: GONE}}",
            "secretKeyRef: the secret store 'vault' has no secret 'GONE'",
        ),
        ("{secretKeyRef: {name: DSN, key: x}}", "secretKeyRef: the secret 'DSN' .* has no key 'x'"),
        (
            "{secretKeyRef: {name: DSN, secretStore: x}}",
            "secretKeyRef: there is no secret store 'x'",
        ),
        ("{secretKeyRef: {name: DSN, store: x}}", "secretKeyRef.store: unknown key; did you mean"),
        (
            "{secretKeyRef: {zzz: x}}",
            "secretKeyRef.zzz: unknown key; known: secretStore, name, key",
        ),
        ("{secretKeyRef: {key: DSN}}", "secretKeyRef.name: required key is missing"),
        ("{secretKeyRef: {name: [DSN]}}", "secretKeyRef.name: expected a string, found a list"),
        ("{secretKeyRef: DSN}", "secretKeyRef: expected a mapping, found a string"),
        ("{fileRef: gone}", "fileRef: cannot read gone: No such file"),
        ("{fileRef: .}", "fileRef: cannot read .: Is a directory"),
        ("{fileRef: 5}", "fileRef: expected a string, found a number"),
        ("{fileRef: binary}", "fileRef: binary is not UTF-8"),
        ("{fileRef: large}", "fileRef: large has more than 1048576 bytes"),
        ('{fileRef: "a\\0b"}', "fileRef: cannot read "),
    ],
)
def test_a_wrong_reference_is_told_with_its_place(reference: str, message: str) -> None:
    Path("binary").write_bytes(b"canary\xff")
    Path("large").write_bytes(b"canary" * 200_000)
    with pytest.raises(ConfigError) as caught:
        _load_with_stores(f"{{dsn: {reference}}}", DSN="canary")
    text = str(caught.value)
    assert re.match(rf"a\.yaml:7: spec\.workflow\.storeConfiguration\.dsn\.{message}", text), text
    assert "canary" not in text
