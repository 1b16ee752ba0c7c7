"""What of the contract is optional, and how a backend stands to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SupportLevel(StrEnum):
    """How a capability is provided."""

    NATIVE = "native"
    EMULATED = "emulated"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Support:
    """How a backend stands to one capability.

    Attributes:
        level: How it is provided.
        reason: Why it is emulated or not provided; empty for native.
    """

    level: SupportLevel
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a missing reason: users read it."""
        if (self.level is SupportLevel.NATIVE) != (self.reason == ""):
            raise ValueError("a reason belongs to every support that is not native, and only there")

    def __bool__(self) -> bool:
        return self.level is not SupportLevel.NONE


NATIVE = Support(SupportLevel.NATIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The optional parts of the contract. The conformance kit checks both directions.

    Attributes:
        durable: What `apply` acknowledged survives the end of the process.
        multi_process: Several processes may have sessions in one task hub at the same time.
        hints: `wakeups` tells of what other sessions leave; without it they are found by polling.
        limits: Claims respect `Session.limits`. Without it `register` refuses a session that has some, and
            a sidecar whose configuration asks for them does not start.
    """

    durable: Support
    multi_process: Support
    hints: Support
    limits: Support
