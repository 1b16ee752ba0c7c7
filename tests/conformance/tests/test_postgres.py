from __future__ import annotations

import pytest
from durahub_conformance import BackendConformance

from .postgres_harness import PostgresHarness


class TestPostgres(BackendConformance):
    harness = PostgresHarness

    @pytest.fixture(autouse=True)
    def server(self, postgres_url: str) -> None:
        PostgresHarness.url = postgres_url
