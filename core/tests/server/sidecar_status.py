"""A sidecar as its APIs see it, without one."""

from __future__ import annotations

from dataclasses import dataclass, field

from durahub.server.status import BuildIdentity

IDENTITY = BuildIdentity(
    version="1.2.3",
    edition="oss",
    backend_type="sqlite",
    backend_distribution="durahub-sqlite",
    backend_version="1.2.4",
    decisions={"admitted": 2, "conflict": 1},
)


@dataclass
class Status:
    app_id: str = "shop"
    identity: BuildIdentity = IDENTITY
    is_serving: bool = True
    is_ready: bool = True
    connected_workers: int = 2
    parked: dict[str, int] = field(default_factory=lambda: {"damaged": 3, "patchMismatch": 0})
    stops: list[str] = field(default_factory=list)

    def request_stop(self, reason: str) -> None:
        self.stops.append(reason)
