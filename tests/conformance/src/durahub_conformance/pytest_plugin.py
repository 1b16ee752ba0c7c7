"""Makes pytest know the kit's marker, so that vendors need no configuration for it."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that names a test's requirement."""
    config.addinivalue_line(
        "markers", "requirement(id): the requirement of the backend contract that a test proves"
    )
