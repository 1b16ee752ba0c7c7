"""Renders the log of the process: stdlib records in, one line of text or JSON each out.

    time=2026-01-31T08:00:00.000000Z level=info msg="dapr initialized. …" app_id=shop scope=durahub…

Libraries and plugins log through the stdlib; only this module knows how it looks.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from durahub.server.status import core_version

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
"""The names that `--log-level` takes."""

_FIRST_KEYS = ("time", "level", "msg", "app_id", "instance", "scope", "type", "ver")

EventDict = MutableMapping[str, Any]


def configure_logging(
    *, level: str, as_json: bool, app_id: str, stream: TextIO | None = None
) -> None:
    """Send the log of the whole process to a stream, in place of whatever was set up before.

    Args:
        level: One of `LEVELS`.
        as_json: One JSON object per line instead of text.
        app_id: Named in every line.
        stream: Where to; None for standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(as_json=as_json, app_id=app_id))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    # Of others' libraries only what a person may have to act on; some write payloads at debug level.
    for library in ("aiosqlite", "asyncio", "grpc", "uvicorn"):
        logging.getLogger(library).setLevel(max(logging.WARNING, LEVELS[level]))


def _formatter(*, as_json: bool, app_id: str) -> logging.Formatter:
    fields = {"app_id": app_id, "type": "log", "ver": core_version()}

    def add_fields(_logger: Any, _method: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        event["msg"] = event.pop("event")
        event["scope"] = record.name
        event["level"] = _level_name(record)
        return {**event, **fields}

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.processors.LogfmtRenderer(key_order=_FIRST_KEYS, drop_missing=True)
    )
    return ProcessorFormatter(
        processors=[
            ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            add_fields,
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _make_keys_printable,
            renderer,
        ],
    )


def _level_name(record: logging.LogRecord) -> str:
    return "fatal" if record.levelno >= logging.CRITICAL else record.levelname.lower()


def _make_keys_printable(_logger: Any, _method: str, event: EventDict) -> EventDict:
    # Extra fields come from anywhere, and a key with a space would lose the whole line.
    return {"_".join(key.split()): value for key, value in event.items()}
