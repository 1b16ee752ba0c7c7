"""What clients ask of a task hub: start, look, wait, tell, remove.

Every method that changes something returns after the change is durable.
"""

from __future__ import annotations

from durahub.engine.client.bulk import Bulk, BulkOutcome, BulkPage
from durahub.engine.client.lookups import Lookups
from durahub.engine.client.part import has_ended, has_started
from durahub.engine.client.selections import MAX_FOUND, Counted, Selection
from durahub.engine.client.starts import Starts

__all__ = [
    "MAX_FOUND",
    "BulkOutcome",
    "BulkPage",
    "Client",
    "Counted",
    "Selection",
    "has_ended",
    "has_started",
]


class Client(Starts, Lookups, Bulk):
    """Carries out the requests of clients."""
