"""The one hook of a backend plugin."""

from __future__ import annotations

import pluggy  # noqa: TID251 - this package is where pluggy lives

from durahub.plugin.descriptor import BackendPlugin

PROJECT = "durahub"
"""The name under which pluggy relates hook implementations to this specification."""

hookspec = pluggy.HookspecMarker(PROJECT)

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's implementation of a hook."""


@hookspec
def durahub_backend() -> BackendPlugin:  # type: ignore[empty-body]
    """Return the description of the backend that this module provides.

    Called once, after the module was admitted and imported. Not `async`, without arguments, and
    without I/O: the backend itself is made later, by the `factory` of the description.
    """
