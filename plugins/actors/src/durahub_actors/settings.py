"""What `storeConfiguration` may hold for the actors backend."""

from __future__ import annotations

from durahub.backend import BackendSettings
from pydantic import Field


class ActorsSettings(BackendSettings):
    """Settings of the actors backend.

    Attributes:
        session_time_to_live: How many seconds a sidecar may be silent before others take over what it owns.
    """

    session_time_to_live: float = Field(default=30, gt=0, alias="sessionTimeToLive")
