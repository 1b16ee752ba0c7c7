"""The flags that `serve` and `run` share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from durahub.cli.daprd_flags import accept_daprd_flags, flags_without_effect
from durahub.cli.quantity import parse_quantity
from durahub.cli.sections import section_option
from durahub.errors import ConfigError
from durahub.server.listening import parse_listen_addresses
from durahub.server.options import (
    DEFAULT_GRACEFUL_SHUTDOWN_S,
    DEFAULT_GRPC_PORT,
    DEFAULT_HTTP_PORT,
    SidecarOptions,
)
from durahub.server.tls import CERT_FLAG, CLIENT_CA_FLAG, KEY_FLAG, TlsFiles
from durahub.types import AppId

_IDENTITY, _LISTENING, _WORKFLOWS, _LOGGING = "Application", "Listening", "Workflows", "Logging"

DEFAULT_LEVEL = "info"
"""What is logged where nobody says anything."""

_MAX_PORT = 65535

CONFIG_HELP = "Dapr Configuration file. Repeatable: later ones win, key by key."
"""What every command says of `--config`."""
RESOURCES_HELP = "Directory of Dapr component files: state stores and secret stores. Repeatable."
"""What every command says of `--resources-path`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarFlags:
    """What the shared flags say, beside the sidecar's own options.

    Attributes:
        app_port: Where the application listens; None if it does not.
        log_level: One of `durahub.server.logs.LEVELS`; None if no flag says it.
        log_as_json: JSON instead of text.
        without_effect: Flags that were given and do nothing.
    """

    app_port: int | None
    log_level: str | None
    log_as_json: bool
    without_effect: tuple[str, ...]


def sidecar_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared flags to a command."""
    # Decorators apply from the inside out: what help lists first comes last.
    command = accept_daprd_flags(command)
    for decorate in reversed(_FLAGS):
        command = decorate(command)
    return command


def read_sidecar_flags(
    ctx: click.Context, flags: Mapping[str, Any], *, app_id: str, environ: Mapping[str, str]
) -> tuple[SidecarOptions, SidecarFlags]:
    """Return what the shared flags say.

    Args:
        ctx: The command that was called.
        flags: Its arguments.
        app_id: The application's id.
        environ: `DAPR_API_TOKEN` is taken from here.

    Raises:
        ConfigError: The app id or an address is wrong.
    """
    max_bytes: int = flags["max_body_size"]
    options = SidecarOptions(
        app_id=_checked_app_id(app_id),
        config_paths=tuple(Path(path) for path in flags["config"]),
        resource_paths=tuple(Path(path) for path in _resource_paths(flags)),
        hosts=parse_listen_addresses(flags["dapr_listen_addresses"]),
        http_port=max(flags["dapr_http_port"], 0),
        grpc_port=max(flags["dapr_grpc_port"], 0),
        internal_grpc_port=max(flags["dapr_internal_grpc_port"], 0),
        max_message_bytes=max_bytes if max_bytes > 0 else None,
        graceful_shutdown_s=flags["dapr_graceful_shutdown_seconds"],
        api_token=environ.get("DAPR_API_TOKEN") or None,
        listens_without_token=flags["listen_without_token"],
        tls=TlsFiles.from_flags(
            flags["tls_cert_file"], flags["tls_key_file"], flags["tls_client_ca_file"]
        ),
        logs_calls=flags["enable_api_logging"],
    )
    app_port: int | None = flags["app_port"]
    return options, SidecarFlags(
        app_port=app_port if app_port and app_port > 0 else None,
        log_level=flags["log_level"] and flags["log_level"].lower(),
        log_as_json=flags["log_as_json"],
        without_effect=flags_without_effect(ctx),
    )


def _resource_paths(flags: Mapping[str, Any]) -> Sequence[str]:
    paths: Sequence[str] = flags["resources_path"] or flags["components_path"]
    return paths


def _checked_app_id(app_id: str) -> AppId:
    if not app_id:
        raise ConfigError(
            "an app id is needed: it owns the workflows and must stay the same over restarts;"
            " give one, such as --app-id shop",
            location="--app-id",
        )
    if "." in app_id or not app_id.isprintable():
        raise ConfigError(
            f"{app_id!r} is no app id: it may not contain dots or control characters",
            location="--app-id",
        )
    return AppId(app_id)


class _Quantity(click.ParamType[int]):
    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_quantity(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_PORT = click.IntRange(max=_MAX_PORT, clamp=False)

_FLAGS = (
    section_option(
        _IDENTITY,
        "--app-id",
        envvar="APP_ID",
        show_envvar=True,
        default="",
        metavar="ID",
        help="Name of the application: owner of its workflows, and the same at every start.",
    ),
    section_option(
        _IDENTITY,
        "--app-port",
        envvar="APP_PORT",
        show_envvar=True,
        type=_PORT,
        metavar="PORT",
        help="Port of the application. Workflows need none.",
    ),
    section_option(
        _LISTENING,
        "--dapr-grpc-port",
        envvar="DAPR_GRPC_PORT",
        show_envvar=True,
        type=_PORT,
        default=DEFAULT_GRPC_PORT,
        show_default=True,
        metavar="PORT",
        help="Port that SDKs connect to; 0 picks a free one.",
    ),
    section_option(
        _LISTENING,
        "--dapr-internal-grpc-port",
        type=_PORT,
        default=0,
        metavar="PORT",
        help="Port on which other sidecars reach this one, for backends that need it (actors on a store that"
        " several sidecars share); 0, the default, picks a free one.",
    ),
    section_option(
        _LISTENING,
        "--dapr-http-port",
        envvar="DAPR_HTTP_PORT",
        show_envvar=True,
        type=_PORT,
        default=DEFAULT_HTTP_PORT,
        show_default=True,
        metavar="PORT",
        help="Port for health, metadata and shutdown; 0 picks a free one.",
    ),
    section_option(
        _LISTENING,
        "--dapr-listen-addresses",
        default="",
        metavar="LIST",
        help="Comma-separated addresses, such as 0.0.0.0. Without it, only this machine can connect"
        " (127.0.0.1 and ::1); daprd would listen on all interfaces.",
    ),
    section_option(
        _LISTENING,
        "--listen-without-token",
        is_flag=True,
        help="Let other machines connect although there are no tokens.",
    ),
    section_option(
        _LISTENING,
        CERT_FLAG,
        default="",
        metavar="FILE",
        help="PEM certificate chain of both ports. SIGHUP reads it again.",
    ),
    section_option(
        _LISTENING, KEY_FLAG, default="", metavar="FILE", help="Its key, without a passphrase."
    ),
    section_option(
        _LISTENING,
        CLIENT_CA_FLAG,
        default="",
        metavar="FILE",
        help="PEM roots of the certificates that every client then has to present.",
    ),
    section_option(
        _WORKFLOWS,
        "--config",
        multiple=True,
        metavar="FILE",
        help=CONFIG_HELP,
    ),
    section_option(
        _WORKFLOWS,
        "--resources-path",
        multiple=True,
        metavar="PATH",
        help=RESOURCES_HELP,
    ),
    click.option("--components-path", multiple=True, hidden=True),
    section_option(
        _WORKFLOWS,
        "--max-body-size",
        type=_Quantity(),
        default="4Mi",
        show_default=True,
        metavar="SIZE",
        help="Largest message, such as 16Mi; 0 or less for no limit.",
    ),
    section_option(
        _WORKFLOWS,
        "--dapr-graceful-shutdown-seconds",
        type=click.IntRange(min=0),
        default=DEFAULT_GRACEFUL_SHUTDOWN_S,
        show_default=True,
        metavar="SECONDS",
        help="How long work in progress may take to finish when the sidecar stops.",
    ),
    section_option(
        _LOGGING,
        "--log-level",
        type=click.Choice(
            ["debug", "info", "warn", "warning", "error", "fatal"], case_sensitive=False
        ),
        default=None,
        show_default=DEFAULT_LEVEL,
        metavar="LEVEL",
        help="debug, info, warn, error or fatal. Wins over spec.logging.level.",
    ),
    section_option(
        _LOGGING, "--log-as-json", is_flag=True, help="One JSON object per line instead of text."
    ),
    section_option(_LOGGING, "--enable-api-logging", is_flag=True, help="One line for each call."),
)
