"""Which sidecar, or which store, a verb is about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from durahub.cli.failures import CommandError
from durahub.cli.sections import section_option
from durahub.cli.workflow.api import (
    DEFAULT_HTTP_PORT,
    NO_TLS_FILES,
    Document,
    Endpoint,
    HttpApi,
    TlsFiles,
    parse_endpoint,
)
from durahub.cli.workflow.discovery import Running, running_sidecars
from durahub.cli.workflow.exits import UnreachableError
from durahub.cli.workflow.hub import Hub

if TYPE_CHECKING:
    # What an edition is made of takes longer to import than a call takes.
    from durahub.edition import Edition

FindEdition: TypeAlias = "Callable[[], Edition]"
"""Imports and returns the build; needed for a store only."""

_PROBE_S = 2.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the flags say of the sidecar or the store.

    Attributes:
        edition: Says which backends may be loaded, for a store.
        app_id: The application; None if not given.
        http_endpoint: URL of the sidecar's HTTP API.
        http_port: Its HTTP port on this machine.
        grpc_port: Its gRPC port on this machine, by which it is found among the processes.
        tls: Files for connections with TLS; if there are any, those to ports have it.
        config: Configuration files that select a store to look at without a sidecar.
        resources: Directories of component files, for the secret stores that those files refer to.
    """

    edition: FindEdition
    app_id: str | None = None
    http_endpoint: str | None = None
    http_port: int | None = None
    grpc_port: int | None = None
    tls: TlsFiles = NO_TLS_FILES
    config: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()

    @contextmanager
    def open(self, *, writes: bool = False) -> Iterator[Hub]:
        """Find the sidecar, or open the store, for as long as the block runs.

        Args:
            writes: Whether the block changes something, for which a store has to be more than looked at.

        Raises:
            UnreachableError: No sidecar was found, or more than one.
            DurahubError: The store can't be used.
        """
        if not self.config:
            yield Hub(HttpApi(self.find(os.environ)))
            return
        from durahub.cli.workflow.store import open_store  # noqa: PLC0415 - slow to import

        with open_store(
            self.edition(),
            self.config,
            self.resources,
            app_id=self.app_id or os.environ.get("APP_ID"),
            writes=writes,
        ) as api:
            yield Hub(api)

    def find(self, environ: Mapping[str, str]) -> Endpoint:
        """Return where the sidecar is: as flags or the environment say, or by the list of processes.

        Raises:
            UnreachableError: None was found, or several, or another one than asked for.
        """
        named = self._named(environ)
        if named is None:
            return self._discovered(environ)
        if self.app_id is not None:
            _require_app_id(named, self.app_id)
        return named

    def _named(self, environ: Mapping[str, str]) -> Endpoint | None:
        token = environ.get("DAPR_API_TOKEN") or None
        if self.http_endpoint is not None:
            return parse_endpoint(self.http_endpoint, token=token, tls=self.tls)
        if self.http_port is not None:
            return self._local(self.http_port, environ)
        if self.grpc_port is not None:
            return None
        if environ.get("DAPR_HTTP_ENDPOINT"):
            return parse_endpoint(environ["DAPR_HTTP_ENDPOINT"], token=token, tls=self.tls)
        port = environ.get("DAPR_HTTP_PORT", "")
        return self._local(int(port), environ) if port.isdecimal() and int(port) else None

    def _local(self, port: int, environ: Mapping[str, str]) -> Endpoint:
        tls = self.tls.context() if self.tls.is_given else None
        host = _LOOPBACK if tls is None else "localhost"
        return Endpoint(host=host, port=port, tls=tls, token=environ.get("DAPR_API_TOKEN") or None)

    def _discovered(self, environ: Mapping[str, str]) -> Endpoint:
        candidates = [found for found in running_sidecars() if self._may_be(found)]
        ports = dict.fromkeys(found.http_port for found in candidates if found.http_port)
        if self.grpc_port is None:
            ports.setdefault(DEFAULT_HTTP_PORT)
        answers: dict[int, Document] = {}
        objections: list[str] = []
        for port in ports:
            try:
                answers[port] = _metadata(self._local(port, environ))
            except CommandError as error:
                if any(found.http_port == port for found in candidates):
                    objections.append(str(error))
        wanted = {
            port: str(answer["id"])
            for port, answer in answers.items()
            if self.app_id in (None, answer["id"])
        }
        if len(wanted) != 1:
            raise UnreachableError(self._not_one(candidates, wanted, objections))
        return self._local(next(iter(wanted)), environ)

    def _may_be(self, found: Running) -> bool:
        if self.grpc_port is not None and found.grpc_port != self.grpc_port:
            return False
        # What does not tell its application is asked.
        return self.app_id is None or found.app_id in (None, self.app_id)

    def _not_one(
        self, candidates: list[Running], wanted: Mapping[int, str], objections: list[str]
    ) -> str:
        if wanted:
            listed = ", ".join(f"{app!r} on HTTP port {port}" for port, app in wanted.items())
            return (
                f"several sidecars run here: {listed}; choose one with --app-id or --dapr-http-port"
            )
        what = "no running sidecar was found"
        if self.app_id is not None:
            what += f" for app id {self.app_id!r}"
        if self.grpc_port is not None:
            what += f" with gRPC port {self.grpc_port}"
        unknown = [str(found.pid) for found in candidates if not found.http_port]
        if unknown:
            objections.append(f"process {', '.join(unknown)} has picked its ports itself")
        why = f" ({'; '.join(objections)})" if objections else ""
        return (
            f"{what}{why}; start one, or say where it is with --dapr-http-port or --http-endpoint, or look at"
            " a store without a sidecar with --config (list, search, get, history, purge)"
        )


def target_options(
    edition: FindEdition, *, store: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the flags, and gives the command a `target` instead of them.

    Args:
        edition: Says which build it is.
        store: Whether the verb also works on a store without a sidecar.
    """
    options = [*_OPTIONS, *_STORE_OPTIONS] if store else _OPTIONS

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**flags: Any) -> Any:
            flags.pop("namespace")
            given = {name: flags.pop(name, ()) for name in ("config", "resources")}
            for name in ("app_id", "http_endpoint", "http_port", "grpc_port"):
                given[name] = flags.pop(name)
            given["tls"] = TlsFiles(
                **{name: flags.pop(f"tls_{name}") for name in ("ca", "certificate", "key")}
            )
            return command(target=Target(edition=edition, **given), **flags)

        decorated: Callable[..., Any] = call
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _metadata(endpoint: Endpoint) -> Document:
    document = HttpApi(endpoint).call("GET", "/v1.0/metadata", timeout_s=_PROBE_S).document
    if "durahub" not in document or "id" not in document:
        raise UnreachableError(f"what answers at {endpoint} is no durahub sidecar")
    return document


def _require_app_id(endpoint: Endpoint, app_id: str) -> None:
    found = _metadata(endpoint)["id"]
    if found != app_id:
        raise UnreachableError(f"the sidecar at {endpoint} serves app id {found!r}, not {app_id!r}")


def _refuse_kubernetes(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value:
        raise click.BadParameter(
            "sidecars in Kubernetes are not looked for; forward a port of the pod (kubectl port-forward) and"
            " give it with --dapr-http-port",
            ctx,
            parameter,
        )


def _refuse_store_flag(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadParameter(
            "a store is selected by a configuration file; give it with --config", ctx, parameter
        )


_PORT = click.IntRange(1, 65535)
_SIDECAR, _STORE = "Which sidecar", "A store without a sidecar"

_OPTIONS = (
    section_option(
        _SIDECAR,
        "-a",
        "--app-id",
        metavar="ID",
        help="Application; not needed if one sidecar runs here.",
    ),
    section_option(
        _SIDECAR,
        "--dapr-http-port",
        "http_port",
        type=_PORT,
        metavar="PORT",
        help="HTTP port of the sidecar on this machine. Without it: DAPR_HTTP_ENDPOINT, DAPR_HTTP_PORT, or"
        " the sidecars among the running processes.",
    ),
    section_option(
        _SIDECAR,
        "--dapr-grpc-port",
        "grpc_port",
        type=_PORT,
        metavar="PORT",
        help="Find the sidecar among the running processes by its gRPC port.",
    ),
    section_option(
        _SIDECAR,
        "--http-endpoint",
        metavar="URL",
        help="A sidecar elsewhere, such as https://host:3500.",
    ),
    section_option(
        _SIDECAR,
        "--tls-ca-file",
        "tls_ca",
        metavar="FILE",
        help="Certificates of the authorities to trust. With one of these files, connections to ports have"
        " TLS.",
    ),
    section_option(
        _SIDECAR,
        "--tls-cert-file",
        "tls_certificate",
        metavar="FILE",
        help="Certificate to present to a sidecar that asks for one.",
    ),
    section_option(
        _SIDECAR,
        "--tls-key-file",
        "tls_key",
        metavar="FILE",
        help="Its key, if that is in another file.",
    ),
    click.option("-n", "--namespace", hidden=True, help="Accepted; has no effect."),
    click.option(
        "-k",
        "--kubernetes",
        is_flag=True,
        hidden=True,
        expose_value=False,
        callback=_refuse_kubernetes,
    ),
    click.option(
        "-c",
        "--connection-string",
        hidden=True,
        expose_value=False,
        callback=_refuse_store_flag,
    ),
    click.option(
        "-t", "--table-name", hidden=True, expose_value=False, callback=_refuse_store_flag
    ),
)

_STORE_OPTIONS = (
    section_option(
        _STORE,
        "--config",
        multiple=True,
        metavar="FILE",
        help="Look at the store that this Dapr Configuration file selects, without a sidecar; needs"
        " --app-id. Repeatable.",
    ),
    section_option(
        _STORE,
        "--resources-path",
        "resources",
        multiple=True,
        metavar="PATH",
        help="With --config: directory of Dapr component files, for the secret stores among them."
        " Repeatable.",
    ),
)
