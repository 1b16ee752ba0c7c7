"""What a start says about the backend that it loads."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from durahub.config import load_configuration
from durahub.edition import OSS, Allowed
from durahub.server.selection import select_backend

MEMORY = OSS.renamed("memory").add(
    Allowed(backend_type="memory", distribution="durahub-core", module="durahub.testing.plugin")
)


def test_start_logs_one_line_with_the_decision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: x}\n"
        "spec: {workflow: {backendType: memory}}\n"
    )
    with caplog.at_level(logging.INFO, "durahub.edition"):
        select_backend(MEMORY, load_configuration([file], environ={}))
    (record,) = [one for one in caplog.records if one.message == "Backend admitted"]
    assert (record.__dict__["edition"], record.__dict__["backend_type"]) == ("memory", "memory")
    assert record.__dict__["distribution"] == "durahub-core"
    assert record.__dict__["decisions"]["admitted"] >= 1
