"""The base of every backend's settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class BackendSettings(BaseModel):
    """What `storeConfiguration` may hold for a backend; a plugin subclasses it.

    Unknown keys are errors and values are not echoed in error messages, because they may be secrets.
    Use `pydantic.SecretStr` for passwords and connection strings that may contain one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
