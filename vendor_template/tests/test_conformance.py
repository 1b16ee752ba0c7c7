"""The whole conformance kit, as `pytest` runs it; `durahub-conformance run --backend acme` also reports."""

from __future__ import annotations

from acme_durahub.conformance import AcmeHarness
from durahub_conformance import BackendConformance


class TestAcme(BackendConformance):
    harness = AcmeHarness
