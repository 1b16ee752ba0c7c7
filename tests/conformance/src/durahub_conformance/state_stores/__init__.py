"""The conformance kit of state stores: proves that a `StateStore` keeps the contract of the actors backend.

from durahub_conformance.state_stores import StateStoreConformance, StateStoreHarness

class AcmeHarness(StateStoreHarness):
    ...

class TestAcme(StateStoreConformance):
    harness = AcmeHarness
"""

import pytest

# Before the modules with the tests are imported, so that their failures show values.
pytest.register_assert_rewrite(
    "durahub_conformance.state_stores.topics", "durahub_conformance.state_stores.model"
)

from durahub_conformance.state_stores.harness import StateStoreHarness  # noqa: E402
from durahub_conformance.state_stores.suite import StateStoreConformance, laws  # noqa: E402

__all__ = ["StateStoreConformance", "StateStoreHarness", "laws"]
