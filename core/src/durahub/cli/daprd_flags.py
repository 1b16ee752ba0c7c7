"""Flags of daprd that are accepted, so that what starts daprd can start this, and have no effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

WITH_VALUE = (
    "allowed-origins",
    "app-channel-address",
    "app-health-check-path",
    "app-health-probe-interval",
    "app-health-probe-timeout",
    "app-health-threshold",
    "app-max-concurrency",
    "app-protocol",
    "control-plane-address",
    "control-plane-namespace",
    "control-plane-trust-domain",
    "dapr-block-shutdown-duration",
    "dapr-http-max-request-size",
    "dapr-http-read-buffer-size",
    "dapr-internal-grpc-listen-address",
    "dapr-public-port",
    "dapr-public-listen-address",
    "metrics-listen-address",
    "metrics-port",
    "mode",
    "placement-host-address",
    "profile-port",
    "read-buffer-size",
    "scheduler-host-address",
    "scheduler-job-streams",
    "sentry-address",
    "unix-domain-socket",
)
SWITCHES = (
    "disable-init-endpoints",
    "enable-app-health-check",
    "enable-metrics",
    "enable-mtls",
    "enable-profiling",
)

_GIVEN = "durahub.cli.given_without_effect"


def accept_daprd_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a command; hidden in its help, and not among its arguments."""
    for name in WITH_VALUE:
        command = _accept(name, multiple=True, type=str)(command)
    for name in SWITCHES:
        command = _accept(name, is_flag=True)(command)
    return command


def flags_without_effect(ctx: click.Context) -> tuple[str, ...]:
    """Return which of them were given, for the log."""
    return tuple(sorted(ctx.meta.get(_GIVEN, ())))


def _accept(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        f"--{name}", hidden=True, expose_value=False, callback=_remember, **attributes
    )


def _remember(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        ctx.meta.setdefault(_GIVEN, set()).add(parameter.opts[0])
