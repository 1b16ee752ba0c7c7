"""`durahub config check`: what files say together, without what is secret, and everything that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

Durahub = Callable[..., Any]

CANARY = "c4n4ry_b1rd"

BASE = """\
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: base}
spec:
  tracing: {samplingRate: "1"}
  mtls: {enabled: true}
  workflow:
    backendType: postgres
    maxConcurrentWorkflowInvocations: 5
    stateRetentionPolicy: {anyTerminal: 168h}
    workflowConcurrencyLimits: [{name: Order, maxConcurrent: 3}]
    storeConfiguration:
      connectionString: postgres://app:${DB_PASSWORD}@db.example/orders
      schema: ${SCHEMA}
"""
PRODUCTION = """\
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: production}
spec:
  metric: {enabled: true, later: 1}
  workflow:
    maxConcurrentWorkflows: 50
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a file where the command runs; returns its name."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return name

    return write


@pytest.fixture
def files(write: Callable[[str, str], str]) -> tuple[str, str]:
    return write("base.yaml", BASE), write("production.yaml", PRODUCTION)


def test_files_are_resolved_and_nothing_secret_is_shown(
    durahub: Durahub, files: tuple[str, str]
) -> None:
    outcome = durahub("config", "check", *files, "--json", DB_PASSWORD=CANARY, SCHEMA="orders1")
    assert (outcome.code, outcome.err) == (0, "")
    assert CANARY not in outcome.out
    document = json.loads(outcome.out)
    assert document["files"] == list(files)
    assert document["name"] == "production"
    assert document["ignored"] == ["spec.mtls", "spec.metrics.later"]
    backend = document["backend"]
    assert backend.pop("version")
    assert backend == {
        "backendType": "postgres",
        "distribution": "durahub-postgres",
        "store": "postgres://db.example/orders?schema=***",
    }
    assert document["spec"]["tracing"]["samplingRate"] == 1.0
    assert document["spec"]["metrics"]["enabled"] is True
    workflow = document["spec"]["workflow"]
    store = workflow.pop("storeConfiguration")
    # A variable may hold a secret, whatever it is used for.
    assert (store["connectionString"], store["schema"]) == ("***", "***")
    assert store["poolSize"] == 8
    assert workflow == {
        "backendType": "postgres",
        "maxConcurrentWorkflows": 50,
        "maxConcurrentActivities": None,
        "globalMaxConcurrentWorkflowInvocations": None,
        "globalMaxConcurrentActivityInvocations": None,
        "workflowConcurrencyLimits": [{"name": "Order", "maxConcurrent": 3}],
        "activityConcurrencyLimits": [],
        "stateRetentionPolicy": {
            "anyTerminal": "168h0m0s",
            "completed": None,
            "failed": None,
            "terminated": None,
        },
    }


def test_yaml_says_the_same(durahub: Durahub, files: tuple[str, str]) -> None:
    variables = {"DB_PASSWORD": CANARY, "SCHEMA": "orders1"}
    as_yaml = durahub("config", "check", *files, **variables)
    as_json = durahub("config", "check", *files, "--json", **variables)
    assert CANARY not in as_yaml.out
    assert YAML(typ="safe").load(as_yaml.out) == json.loads(as_json.out)


def test_what_comes_from_files_and_secret_stores_is_hidden(
    durahub: Durahub, write: Callable[[str, str], str], tmp_path: Path
) -> None:
    write("password", CANARY)
    write("secrets.json", json.dumps({"db": f"{CANARY}2"}))
    (tmp_path / "resources").mkdir()
    write(
        "resources/local.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: vault}\n"
        "spec:\n  type: secretstores.local.file\n  version: v1\n"
        f"  metadata: [{{name: secretsFile, value: {tmp_path / 'secrets.json'}}}]\n",
    )
    name = write(
        "elsewhere.yaml",
        BASE.replace("schema: ${SCHEMA}", f"schema: {{fileRef: {tmp_path / 'password'}}}").replace(
            "connectionString: postgres://app:${DB_PASSWORD}@db.example/orders",
            "connectionString: {secretKeyRef: {secretStore: vault, name: db, key: db}}",
        ),
    )
    outcome = durahub("config", "check", name, "--resources-path", "resources")
    assert CANARY not in outcome.out + outcome.err
    assert outcome.code == 2  # a secret that is no URL
    assert "elsewhere.yaml:13: spec.workflow.storeConfiguration.connectionString" in outcome.err
    write("secrets.json", json.dumps({"db": f"postgres://u:{CANARY}@db/x"}))
    outcome = durahub("config", "check", name, "--resources-path", "resources", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert CANARY not in outcome.out
    store = json.loads(outcome.out)["spec"]["workflow"]["storeConfiguration"]
    assert (store["connectionString"], store["schema"]) == ("***", "***")


def test_a_password_that_is_written_down_is_hidden(
    durahub: Durahub, write: Callable[[str, str], str]
) -> None:
    name = write(
        "plain.yaml", BASE.replace("${DB_PASSWORD}", CANARY).replace("${SCHEMA}", "orders")
    )
    outcome = durahub("config", "check", name)
    assert outcome.code == 0
    assert CANARY not in outcome.out
    assert "schema: orders" in outcome.out


def test_what_is_wrong_is_told_with_file_line_and_key(
    durahub: Durahub, write: Callable[[str, str], str]
) -> None:
    wrong = BASE.replace("anyTerminal: 168h", "anyTerminal: 168 hours").replace(
        "maxConcurrentWorkflowInvocations: 5", "maxConcurentWorkflows: 5"
    )
    outcome = durahub(
        "config", "check", write("wrong.yaml", wrong), DB_PASSWORD=CANARY, SCHEMA="orders1"
    )
    assert (outcome.code, outcome.out) == (2, "")
    assert CANARY not in outcome.err
    unknown, duration = outcome.err.splitlines()
    assert "wrong.yaml:9: spec.workflow.maxConcurentWorkflows: unknown key; did you mean" in unknown
    assert duration.startswith("wrong.yaml:10: spec.workflow.stateRetentionPolicy.anyTerminal: ")


def test_every_file_is_looked_at(durahub: Durahub, write: Callable[[str, str], str]) -> None:
    malformed = write("malformed.yaml", "spec: [")
    unset = write("unset.yaml", BASE)
    outcome = durahub("config", "check", malformed, unset, "missing.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    one, two, three = outcome.err.splitlines()
    assert "malformed.yaml:1:" in one
    assert "unset.yaml:13: " in two
    assert "environment variable DB_PASSWORD is not set" in two
    assert three == "missing.yaml: cannot read the file: No such file or directory"


def test_the_backends_own_keys_are_checked(
    durahub: Durahub, write: Callable[[str, str], str]
) -> None:
    wrong = BASE.replace("schema: ${SCHEMA}", "scheme: x").replace("${DB_PASSWORD}", CANARY)
    outcome = durahub("config", "check", write("store.yaml", wrong))
    assert outcome.code == 2
    assert "store.yaml:14: spec.workflow.storeConfiguration.scheme: unknown key" in outcome.err
    assert CANARY not in outcome.err


def test_a_backend_that_the_build_does_not_know_is_an_error(
    durahub: Durahub, write: Callable[[str, str], str]
) -> None:
    name = write("other.yaml", BASE.replace("postgres\n", "postgrs\n", 1).replace("${", "$${"))
    outcome = durahub("config", "check", name)
    assert outcome.code == 2
    assert "other.yaml:8: spec.workflow.backendType: unknown backend 'postgrs'" in outcome.err
    assert "postgres" in outcome.err


def test_what_a_sidecar_would_refuse_is_refused(
    durahub: Durahub, write: Callable[[str, str], str]
) -> None:
    tokens = """\
  api:
    tokens:
    - {name: one, token: {envRef: TOKEN}, roles: [read]}
    - {name: two, token: {envRef: TOKEN}, roles: [admin]}
"""
    name = write("tokens.yaml", PRODUCTION.replace("spec:\n", f"spec:\n{tokens}"))
    base = write("base.yaml", BASE)
    variables = {"DB_PASSWORD": "x", "SCHEMA": "orders1"}
    outcome = durahub("config", "check", base, name, TOKEN=CANARY, **variables)
    assert (outcome.code, outcome.out) == (2, "")
    assert "two tokens have the same secret" in outcome.err
    assert CANARY not in outcome.err
    one = tokens.partition("    - {name: two")[0]
    write("tokens.yaml", PRODUCTION.replace("spec:\n", f"spec:\n{one}"))
    outcome = durahub("config", "check", base, name, "--json", TOKEN=CANARY, **variables)
    assert outcome.code == 0, outcome.err
    assert CANARY not in outcome.out
    (shown,) = json.loads(outcome.out)["spec"]["api"]["tokens"]
    assert (shown["name"], shown["token"], shown["roles"]) == ("one", "***", ["read"])


def test_a_file_is_needed(durahub: Durahub) -> None:
    outcome = durahub("config", "check")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Missing argument 'FILE...'" in outcome.err
