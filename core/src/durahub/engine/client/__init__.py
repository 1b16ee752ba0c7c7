"""What clients ask of a task hub: start, look, wait, tell, remove.

Every method that changes something returns after the change is durable.
"""

from __future__ import annotations

from durahub.engine.client.lookups import Lookups
from durahub.engine.client.purges import Purges
from durahub.engine.client.requests import Requests
from durahub.engine.client.starts import Starts

__all__ = ["Client"]


class Client(Starts, Lookups, Requests, Purges):
    """Carries out the requests of clients."""
