"""Several hosts of one task hub: who they are, which of them an actor belongs to, and calls between them.

It knows nothing of workflows. Nothing here decides what may be written: the store does.
"""

from durahub_actors.cluster.peers import HostBusyError, HostUnreachableError, Peers
from durahub_actors.cluster.placement import place
from durahub_actors.cluster.transport import HostServer, TlsFiles

__all__ = [
    "HostBusyError",
    "HostServer",
    "HostUnreachableError",
    "Peers",
    "TlsFiles",
    "place",
]
