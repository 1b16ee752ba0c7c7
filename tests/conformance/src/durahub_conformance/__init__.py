"""The conformance kit: proves that a Durahub backend keeps the contract of `durahub.backend`.

from durahub_conformance import BackendConformance, Harness

class AcmeHarness(Harness):
    ...

class TestAcme(BackendConformance):
    harness = AcmeHarness
"""

import pytest

# Before the modules with the tests are imported, so that their failures show values.
pytest.register_assert_rewrite("durahub_conformance.hub", "durahub_conformance.topics")

from durahub_conformance.harness import Harness, Probe  # noqa: E402
from durahub_conformance.requirement import Law  # noqa: E402
from durahub_conformance.suite import BackendConformance, requirements  # noqa: E402

__all__ = ["BackendConformance", "Harness", "Law", "Probe", "requirements"]
