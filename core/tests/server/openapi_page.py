"""Writes `docs/reference/openapi.json`: `python -m core.tests.server.openapi_page`."""

from __future__ import annotations

import json
from pathlib import Path

from durahub.clock import SystemClock
from durahub.engine import Engine, EngineOptions
from durahub.server.http_app import all_endpoints
from durahub.server.http_openapi import openapi_document
from durahub.server.metadata import Metadata
from durahub.testing import MemoryBackend, MemorySettings

from core.tests.engine.making import APP
from core.tests.server.sidecar_status import Status

PAGE = Path(__file__).parents[3] / "docs/reference/openapi.json"


def page() -> str:
    """Return the document of a sidecar that does not run."""
    engine = Engine(MemoryBackend(MemorySettings()), EngineOptions(app_id=APP), SystemClock())
    status = Status()
    endpoints = all_endpoints(status, engine.client, Metadata(status))
    return json.dumps(openapi_document(endpoints), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
