"""The suite for an installed backend; `durahub-conformance run` gives this file to pytest."""

from __future__ import annotations

from durahub_conformance.subject import take_over
from durahub_conformance.suite import BackendConformance


class TestInstalledBackend(BackendConformance):
    """All requirements, with the harness that the command was given."""

    harness = take_over()
