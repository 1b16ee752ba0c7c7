"""One row for each thing that a file can have wrong, with the message that a user reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from durahub.config import Configuration, load_configuration
from durahub.errors import ConfigError

Load = Callable[..., Configuration]

KEYS = (
    "backendType, maxConcurrentWorkflows, maxConcurrentWorkflowInvocations,"
    " maxConcurrentActivities, maxConcurrentActivityInvocations,"
    " globalMaxConcurrentWorkflowInvocations, globalMaxConcurrentActivityInvocations,"
    " workflowConcurrencyLimits, activityConcurrencyLimits, stateRetentionPolicy,"
    " storeConfiguration"
)
HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\n"


@pytest.mark.parity("field/30", on="any")
@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        (
            "maxConcurentWorkflows: 1",
            (
                "a.yaml:7: spec.workflow.maxConcurentWorkflows: unknown key;"
                " did you mean 'maxConcurrentWorkflows'?"
            ),
        ),
        (
            "maxConcurrentWorkflowInvocation: 1",
            (
                "a.yaml:7: spec.workflow.maxConcurrentWorkflowInvocation: unknown key;"
                " did you mean 'maxConcurrentWorkflowInvocations'?"
            ),
        ),
        (
            "backendtype: x",
            "a.yaml:7: spec.workflow.backendtype: unknown key; did you mean 'backendType'?",
        ),
        (
            "backend_type: x",
            "a.yaml:7: spec.workflow.backend_type: unknown key; did you mean 'backendType'?",
        ),
        ("zzz: 1", f"a.yaml:7: spec.workflow.zzz: unknown key; known keys: {KEYS}"),
        (
            "backendType: 5",
            "a.yaml:7: spec.workflow.backendType: expected a string, found a number",
        ),
        (
            "backendType: [a]",
            "a.yaml:7: spec.workflow.backendType: expected a string, found a list",
        ),
        (
            "backendType: a b",
            "a.yaml:7: spec.workflow.backendType: expected the name of a backend",
        ),
        ("backendType: ''", "a.yaml:7: spec.workflow.backendType: expected the name of a backend"),
        (
            "maxConcurrentWorkflows: many",
            "a.yaml:7: spec.workflow.maxConcurrentWorkflows: expected a whole number",
        ),
        (
            "maxConcurrentActivityInvocations: true",
            "a.yaml:7: spec.workflow.maxConcurrentActivityInvocations: expected a whole number",
        ),
        (
            "maxConcurrentActivities: 1.0",
            "a.yaml:7: spec.workflow.maxConcurrentActivities: expected a whole number",
        ),
        (
            "maxConcurrentActivities: 2147483648",
            "a.yaml:7: spec.workflow.maxConcurrentActivities: expected at most 2147483647",
        ),
        (
            "maxConcurrentWorkflows: 1\nmaxConcurrentWorkflowInvocations: 2",
            (
                "a.yaml:8: spec.workflow.maxConcurrentWorkflowInvocations: differs from"
                " 'maxConcurrentWorkflows' in line 7, which means the same; remove one of them"
            ),
        ),
        (
            "maxConcurrentActivities: [1]\nmaxConcurrentActivityInvocations: 2",
            (
                "a.yaml:8: spec.workflow.maxConcurrentActivityInvocations: differs from"
                " 'maxConcurrentActivities' in line 7, which means the same; remove one of them"
            ),
        ),
        (
            "maxConcurrentActivities: x\nmaxConcurrentActivityInvocations: x",
            "a.yaml:7: spec.workflow.maxConcurrentActivities: expected a whole number",
        ),
        (
            "workflowConcurrencyLimits: {a: 1}",
            "a.yaml:7: spec.workflow.workflowConcurrencyLimits: expected a list, found a mapping",
        ),
        (
            "workflowConcurrencyLimits: [1]",
            (
                "a.yaml:7: spec.workflow.workflowConcurrencyLimits[0]:"
                " expected a mapping, found a number"
            ),
        ),
        (
            "workflowConcurrencyLimits:\n- name: A\n  maxConcurrent: 1\n- maxConcurent: 1\n  name: 2",
            (
                "a.yaml:10: spec.workflow.workflowConcurrencyLimits[1].maxConcurent: unknown key;"
                " did you mean 'maxConcurrent'?\n"
                "a.yaml:10: spec.workflow.workflowConcurrencyLimits[1].maxConcurrent:"
                " required key is missing\n"
                "a.yaml:11: spec.workflow.workflowConcurrencyLimits[1].name:"
                " expected a string, found a number"
            ),
        ),
        (
            "activityConcurrencyLimits: [{name: '', maxConcurrent: 1}]",
            (
                "a.yaml:7: spec.workflow.activityConcurrencyLimits[0].name: String should have at least"
                " 1 character"
            ),
        ),
        (
            "activityConcurrencyLimits: [{name: A, maxConcurrent: 1}, {name: A, maxConcurrent: 2}]",
            "a.yaml:7: spec.workflow.activityConcurrencyLimits: two limits have the same name",
        ),
        (
            "stateRetentionPolicy: 168h",
            "a.yaml:7: spec.workflow.stateRetentionPolicy: expected a mapping, found a string",
        ),
        (
            "stateRetentionPolicy:\n  complete: 168h",
            (
                "a.yaml:8: spec.workflow.stateRetentionPolicy.complete: unknown key;"
                " did you mean 'completed'?"
            ),
        ),
        (
            "stateRetentionPolicy:\n  failed: 7d",
            (
                "a.yaml:8: spec.workflow.stateRetentionPolicy.failed:"
                " expected a duration such as '168h' or '1h30m'"
            ),
        ),
        (
            "stateRetentionPolicy:\n  failed: false",
            (
                "a.yaml:8: spec.workflow.stateRetentionPolicy.failed:"
                " expected a duration such as '168h' or '1h30m'"
            ),
        ),
        (
            "storeConfiguration: postgres://u:hunter2@h/d",
            "a.yaml:7: spec.workflow.storeConfiguration: expected a mapping, found a string",
        ),
        (
            "backendType: a\nbackendType: b",
            "a.yaml:8:5: duplicate key 'backendType', first in line 7",
        ),
        ("5: a", "a.yaml:7:5: keys have to be strings"),
        ("[a]: a", "a.yaml:7:5: keys have to be strings"),
        (
            "<<: {backendType: a}",
            "a.yaml:7:5: merge keys ('<<') are not supported; write the keys out",
        ),
        ("backendType: !hunter2 a", "a.yaml:7:18: tags ('!...') are not supported"),
        (
            "storeConfiguration: &a {b: *a}",
            "a.yaml:7:25: an alias refers to what it is part of",
        ),
        ("backendType: !!int hunter2", "a.yaml:7:18: malformed value"),
        ("[a]", "a.yaml:7: spec.workflow: expected a mapping, found a list"),
    ],
)
def test_load_wrong_workflow_section_raises_with_the_message(
    load_workflow: Load, workflow: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_workflow(workflow)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.yaml: the file is empty"),
        ("# nothing\n", "a.yaml: the file is empty"),
        ("---\n", "a.yaml:2: expected a mapping, found nothing"),
        ("- a\n", "a.yaml:1: expected a mapping, found a list"),
        ("\n\ntext\n", "a.yaml:3: expected a mapping, found a string"),
        (
            "kind: Configuration\n",
            "a.yaml:1: apiVersion: required key is missing; expected 'dapr.io/v1alpha1'",
        ),
        (
            "apiVersion: dapr.io/v1\nkind: Configuration\n",
            "a.yaml:1: apiVersion: expected 'dapr.io/v1alpha1', found 'dapr.io/v1'",
        ),
        (
            "apiVersion: dapr.io/v1alpha1\nkind: Component\n",
            "a.yaml:2: kind: expected 'Configuration', found 'Component'",
        ),
        (
            "apiVersion: dapr.io/v1alpha1\nkind: 5\n",
            "a.yaml:2: kind: expected 'Configuration', found a number",
        ),
        (
            f"apiVersion: dapr.io/v1alpha1\nkind: {'x' * 61}\n",
            "a.yaml:2: kind: expected 'Configuration', found a string",
        ),
        (HEAD + "specs: {}\n", "a.yaml:3: specs: unknown key; did you mean 'spec'?"),
        (
            HEAD + "zzz: {}\n",
            "a.yaml:3: zzz: unknown key; known keys: apiVersion, kind, metadata, spec",
        ),
        (HEAD + "spec: 5\n", "a.yaml:3: spec: expected a mapping, found a number"),
        (
            HEAD + "spec:\n  workflows: {}\n",
            "a.yaml:4: spec.workflows: unknown key; did you mean 'workflow'?",
        ),
        (
            HEAD + "metadata: {name: 5}\n",
            "a.yaml:3: metadata.name: expected a string, found a number",
        ),
        (HEAD + "metadata: [a]\n", "a.yaml:3: metadata: expected a mapping, found a list"),
        (
            HEAD + "spec:\n  a: b: c\n",
            "a.yaml:4:7: malformed YAML: mapping values are not allowed here",
        ),
        (
            HEAD + "spec: [1\n",
            (
                "a.yaml:4:1: malformed YAML: while parsing a flow sequence expected ',' or ']',"
                " but got '<stream end>'"
            ),
        ),
        (
            HEAD + "\tspec: 1\n",
            (
                "a.yaml:3:1: malformed YAML: while scanning for the next token found character '\\t'"
                " that cannot start any token"
            ),
        ),
        (HEAD + "spec: *hunter2\n", "a.yaml:3:7: malformed YAML: found undefined alias"),
        (
            HEAD + "---\n" + HEAD,
            (
                "a.yaml:3:1: malformed YAML: expected a single document in the stream"
                " but found another document"
            ),
        ),
        (HEAD + "spec: a\x01b\n", "a.yaml:3:8: malformed YAML: a control character"),
        (HEAD + "x: " + "[" * 101 + "]" * 101, "a.yaml:3:103: nested deeper than 100 levels"),
        (HEAD + "x: " + "[" * 9999, "a.yaml: nested deeper than 100 levels"),
        (HEAD.encode() + b"# caf\xe9\n", "a.yaml: not UTF-8 at byte 54"),
    ],
)
def test_load_wrong_file_raises_with_the_message(content: str | bytes, message: str) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    Path("a.yaml").write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load_configuration([Path("a.yaml")], environ={})
    assert str(caught.value) == message


def test_load_missing_file_raises_with_its_name() -> None:
    with pytest.raises(ConfigError) as caught:
        load_configuration([Path("sub/none.yaml")], environ={})
    assert str(caught.value) == "sub/none.yaml: cannot read the file: No such file or directory"
    assert caught.value.location == "sub/none.yaml"


def test_load_directory_raises_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        load_configuration([tmp_path], environ={})
