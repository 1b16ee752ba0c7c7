"""What a listing asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from durahub.types import AppId, RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceQuery:
    """Selects instances of one application, in order of creation; all conditions must hold.

    Attributes:
        app_id: Whose instances.
        statuses: Only these; empty: all.
        created_from: Created at or after.
        created_to: Created before.
        page_size: At most so many on one page; at least 1.
        page_token: `next_token` of the page before; None for the first page. Instances that are created
            or purged between two pages never make the others appear twice or not at all.
    """

    app_id: AppId
    statuses: tuple[RuntimeStatus, ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    page_size: int = 1000
    page_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedQuery:
    """Selects instances of one application that ended with one status, longest ended first.

    Attributes:
        app_id: Whose instances.
        status: The status; a terminal one.
        limit: At most so many; at least 1.
    """

    app_id: AppId
    status: RuntimeStatus
    limit: int = 1000

    def __post_init__(self) -> None:
        """Refuse a status that ends nothing: no backend has to think about it."""
        if not self.status.is_terminal:
            raise ValueError(f"{self.status.name} is no terminal status")
