"""The log of the process, as the flags want it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from durahub.cli.sidecar_flags import DEFAULT_LEVEL, SidecarFlags
from durahub.config import LoggingSection
from durahub.server.logs import configure_logging

_log = logging.getLogger("durahub.cli")


def set_up_logging(flags: SidecarFlags, *, app_id: str) -> Callable[[LoggingSection], None]:
    """Send the log to standard error, and name once the flags that have no effect.

    Returns:
        Makes the log what a configuration says, except where a flag says otherwise.
    """

    def apply(section: LoggingSection) -> None:
        configure_logging(
            level=flags.log_level or section.level or DEFAULT_LEVEL,
            as_json=flags.log_as_json or bool(section.as_json),
            app_id=app_id,
        )

    apply(LoggingSection())
    if flags.without_effect:
        _log.info(
            "flags of daprd that have no effect here",
            extra={"flags": ",".join(flags.without_effect)},
        )
    return apply
