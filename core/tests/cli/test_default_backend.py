"""The default backend's stores when something is wrong: what, where, and what to do."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from core.tests.cli.conftest import Outcome

Durahub = Callable[..., "Outcome"]

SERVE = ("serve", "--app-id", "x", "--dapr-http-port", "0", "--dapr-grpc-port", "0")


def component(name: str, kind: str, **metadata: str) -> dict[str, Any]:
    items = [{"name": key, "value": value} for key, value in metadata.items()]
    return {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": name},
        "spec": {"type": kind, "version": "v1", "metadata": items},
    }


def write(directory: Path, *components: dict[str, Any]) -> tuple[str, str]:
    """Write component files, and return the flag that names them."""
    resources = directory / "resources"
    resources.mkdir()
    for number, document in enumerate(components):
        # JSON is YAML.
        (resources / f"{number}.yaml").write_text(json.dumps(document, indent=1))
    return "--resources-path", str(resources)


ACTORS = {"actorStateStore": "true"}
ONE = component("one", "state.sqlite", connectionString="one.db", **ACTORS)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (
            [ONE, component("two", "state.in-memory", **ACTORS)],
            r"1\.yaml:1: detected duplicate actor state store: one and two; leave actorStateStore to one",
        ),
        (
            [component("mongo", "state.mongodb", host="h", **ACTORS)],
            r"0\.yaml:1: component mongo \(state\.mongodb\): .* supported are state\.in-memory",
        ),
        (
            [component("file", "state.sqlite", conectionString="x", **ACTORS)],
            r"0\.yaml:1: component file .*conectionString; did you mean connectionString\?",
        ),
        (
            [component("plain", "state.sqlite", connectionString="x.db")],
            r'0\.yaml:1: .*- name: actorStateStore value: "true"',
        ),
        (
            [component("away", "state.redis", redisHost="127.0.0.1:1", **ACTORS)],
            r"redis://127\.0\.0\.1:1/.*: the connection .* check that the server runs there",
        ),
        (
            [
                component(
                    "gone", "state.postgresql", connectionString="host=127.0.0.1 port=1", **ACTORS
                )
            ],
            r"postgresql://127\.0\.0\.1.*can't be reached.*check that it runs there",
        ),
    ],
)
def test_a_component_that_cannot_be_used(
    durahub: Durahub, tmp_path: Path, components: list[dict[str, Any]], message: str
) -> None:
    outcome = durahub(*SERVE, *write(tmp_path, *components))
    assert outcome.code == 2
    assert re.search(f"^durahub: error: .*{message}", outcome.err, re.MULTILINE), outcome.err
    assert "Traceback" not in outcome.err


def test_a_component_file_that_is_broken(durahub: Durahub, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("kind: Component\nspec: [\n")
    outcome = durahub(*SERVE, "--resources-path", str(tmp_path / "broken.yaml"))
    assert outcome.code == 2
    assert re.search(r"error: .*broken\.yaml:\d+:\d+: malformed YAML", outcome.err), outcome.err


def test_a_directory_that_cannot_be_made(durahub: Durahub, tmp_path: Path) -> None:
    # Not by its rights: root may do everything.
    (tmp_path / ".durahub").touch()
    outcome = durahub(*SERVE)
    assert outcome.code == 2
    assert f"at {tmp_path}/.durahub; check the path and the rights on it" in outcome.err


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_file_that_another_program_keeps_locked(durahub: Durahub, tmp_path: Path) -> None:
    file = component(
        "file", "state.sqlite", connectionString="used.db", busyTimeout="200ms", **ACTORS
    )
    with locked(tmp_path / "used.db"):
        outcome = durahub(*SERVE, *write(tmp_path, file))
    assert outcome.code == 2
    assert f"{tmp_path}/used.db: other processes kept the file locked" in outcome.err


def test_the_store_is_looked_after_with_and_without_components(
    durahub: Durahub, tmp_path: Path
) -> None:
    for place, resources in ((".durahub/state.db", ()), ("one.db", write(tmp_path, ONE))):
        # Left by nobody: looking finds nothing, and migrating makes it.
        assert durahub("db", "status", *resources).code == 3
        plan = durahub("db", "plan", *resources)
        assert f"actors in state.sqlite {tmp_path}/{place}" in plan.out
        assert durahub("db", "migrate", *resources).code == 0
        assert durahub("db", "status", *resources).code == 0
        with closing(sqlite3.connect(tmp_path / place)) as connection:
            assert connection.execute("SELECT schema_version FROM meta").fetchall() == [(1,)]
