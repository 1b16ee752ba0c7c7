"""The Kubernetes manifest of the documentation: what it starts starts, and what it names is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from durahub.cli.main import build_command
from durahub.config import load_configuration
from durahub.config.store import validate_store_configuration
from durahub.edition import OSS, load_backend

from tests.layout.test_snippets import DOCS, snippets

PAGE = DOCS / "how-to/kubernetes.md"
Manifest = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """Return the documents of the page by kind."""
    blocks = [block.text for block in snippets("yaml") if block.page == PAGE]
    return {each["kind"]: each for block in blocks for each in yaml.safe_load_all(block)}


@pytest.fixture(scope="module")
def sidecar(manifest: Manifest) -> dict[str, Any]:
    """Return the sidecar's container."""
    containers = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = next(one for one in containers if one["name"] == "durahub")
    return found


def test_arguments_are_those_of_the_command(sidecar: dict[str, Any]) -> None:
    name, *arguments = sidecar["args"]
    group = build_command(OSS)
    command = group.get_command(click.Context(group), name)
    assert command is not None
    given = command.make_context(name, arguments).params
    assert given["app_id"] == "orders"


def test_configuration_lies_where_the_argument_says_and_loads(
    manifest: Manifest, sidecar: dict[str, Any], tmp_path: Path
) -> None:
    (mount,) = sidecar["volumeMounts"]
    (file,) = manifest["ConfigMap"]["data"]
    assert f"--config={mount['mountPath']}/{file}" in sidecar["args"]
    (volume,) = manifest["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert volume["name"] == mount["name"]
    assert volume["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
    (tmp_path / file).write_text(manifest["ConfigMap"]["data"][file])
    loaded = load_configuration([tmp_path / file], environ=_environ(manifest, sidecar))
    assert loaded.backend_type == "postgres"
    validate_store_configuration(load_backend(OSS, loaded.backend_type).settings, loaded)


def _environ(manifest: Manifest, sidecar: dict[str, Any]) -> dict[str, str]:
    """Return what the container's environment is, with the secrets of the page."""
    secret = manifest["Secret"]
    references = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in sidecar["env"]}
    assert {one["name"] for one in references.values()} == {secret["metadata"]["name"]}
    return {name: secret["stringData"][one["key"]] for name, one in references.items()}


def test_application_and_probe_find_the_sidecar(
    manifest: Manifest, sidecar: dict[str, Any]
) -> None:
    arguments = sidecar["args"]
    spec = manifest["Deployment"]["spec"]["template"]["spec"]
    app = next(one for one in spec["containers"] if one["name"] == "app")
    ports = {one["name"]: one["value"] for one in app["env"]}
    assert f"--dapr-grpc-port={ports['DAPR_GRPC_PORT']}" in arguments
    assert f"--dapr-http-port={ports['DAPR_HTTP_PORT']}" in arguments
    python, flag, probe = sidecar["readinessProbe"]["exec"]["command"]
    assert (python, flag) == ("python", "-c")
    assert f":{ports['DAPR_HTTP_PORT']}/v1.0/healthz" in probe
    compile(probe, "probe", "exec")
    labels = manifest["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifest["Deployment"]["spec"]["selector"]["matchLabels"] == labels
