"""A line in the log for each call, where it is asked for (`spec.logging.apiLogging`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from durahub.server.operations import Operation, operation_of

_log = logging.getLogger("durahub.server.calls")

_SHOWN_SEGMENTS = 2
_HEALTH_PATHS = ("/v1.0/healthz", "/v1.0/healthz/outbound")


@dataclass(slots=True)
class CallLog:
    """Writes down which calls there are; never what they carry. It may change while calls come in.

    Attributes:
        is_enabled: Whether calls are logged at all.
        obfuscates: Whether paths are cut to what names no instance.
        omits_health: Whether health is left out.
    """

    is_enabled: bool = False
    obfuscates: bool = False
    omits_health: bool = False

    def rpc(self, path: str, user_agent: str) -> None:
        """Log an RPC that begins."""
        if not self.is_enabled or (self.omits_health and operation_of(path) is Operation.HEALTH):
            return
        _log.info("gRPC API Called", extra={"method": path, "useragent": user_agent})

    def http(self, method: str, path: str, user_agent: str, *, status: int) -> None:
        """Log an HTTP request that has been answered."""
        if not self.is_enabled or (self.omits_health and path in _HEALTH_PATHS):
            return
        shown = _cut(path) if self.obfuscates else path
        extra = {"method": f"{method} {shown}", "code": status, "useragent": user_agent}
        _log.info("HTTP API Called", extra=extra)


def _cut(path: str) -> str:
    segments = path.split("/")
    if len(segments) <= _SHOWN_SEGMENTS + 1:
        return path
    return "/".join([*segments[: _SHOWN_SEGMENTS + 1], "…"])
