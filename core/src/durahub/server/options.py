"""How one sidecar is to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from durahub.server.listening import LOOPBACK
from durahub.server.tls import TlsFiles
from durahub.types import AppId

DEFAULT_HTTP_PORT = 3500
DEFAULT_GRPC_PORT = 50001
DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
DEFAULT_GRACEFUL_SHUTDOWN_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarOptions:
    """How one sidecar is to run.

    Attributes:
        app_id: The application that it serves; not empty.
        config_paths: Dapr configuration files, later ones win.
        resource_paths: Directories or files with Dapr components.
        hosts: IP addresses to listen on.
        http_port: 0 picks a free one.
        grpc_port: 0 picks a free one.
        internal_grpc_port: Where backends whose processes call each other listen; 0 picks a free one.
        max_message_bytes: Largest message; None for no limit.
        graceful_shutdown_s: How long work in progress may take to finish when the sidecar stops.
        api_token: Dapr's token, which the environment gives; None if it gives none.
        listens_without_token: Whether others than this machine may connect where there are no tokens.
        tls: Certificate and key; None for none.
        logs_calls: Whether every call is logged.
    """

    app_id: AppId
    config_paths: tuple[Path, ...] = ()
    resource_paths: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = LOOPBACK
    http_port: int = DEFAULT_HTTP_PORT
    grpc_port: int = DEFAULT_GRPC_PORT
    internal_grpc_port: int = 0
    max_message_bytes: int | None = DEFAULT_MAX_MESSAGE_BYTES
    graceful_shutdown_s: float = DEFAULT_GRACEFUL_SHUTDOWN_S
    api_token: str | None = field(default=None, repr=False)
    listens_without_token: bool = False
    tls: TlsFiles | None = None
    logs_calls: bool = False
