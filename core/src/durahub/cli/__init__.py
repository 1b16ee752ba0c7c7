"""The `durahub` command.

Nothing here imports a server, an RPC library or a backend before a command needs it: `durahub --help`
answers at once.
"""
