from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent, indent

import pytest
from durahub.config import Configuration, load_configuration

HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: test\n"


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory of the test's own, so that messages have short paths."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load_workflow() -> Callable[..., Configuration]:
    """Load the texts that stand under `spec.workflow` of a.yaml, b.yaml, ...; from line 7 on."""

    def load(*workflows: str, environ: Mapping[str, str] | None = None) -> Configuration:
        paths = [Path(f"{letter}.yaml") for letter, _ in zip("abc", workflows, strict=False)]
        for path, workflow in zip(paths, workflows, strict=True):
            body = indent(dedent(workflow).strip("\n"), "    ")
            path.write_text(f"{HEAD}spec:\n  workflow:\n{body}\n", encoding="utf-8")
        return load_configuration(paths, environ=environ or {})

    return load
