"""The log of the process, as the flags want it."""

from __future__ import annotations

import logging

from durahub.cli.sidecar_flags import SidecarFlags
from durahub.server.logs import configure_logging

_log = logging.getLogger("durahub.cli")


def set_up_logging(flags: SidecarFlags, *, app_id: str) -> None:
    """Send the log to standard error, and name once the flags that have no effect."""
    configure_logging(level=flags.log_level.lower(), as_json=flags.log_as_json, app_id=app_id)
    if flags.without_effect:
        _log.info(
            "flags of daprd that have no effect here",
            extra={"flags": ",".join(flags.without_effect)},
        )
