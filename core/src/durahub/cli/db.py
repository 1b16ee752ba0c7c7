"""`durahub db`: the store that a configuration selects, without a sidecar on it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import click

from durahub.backend import BackendServices, Migration, SchemaStatus
from durahub.cli.lazy_group import LazyCommand, LazyGroup
from durahub.cli.sidecar_flags import CONFIG_HELP, RESOURCES_HELP
from durahub.clock import SystemClock
from durahub.config import load_components, load_configuration, load_secret_stores
from durahub.edition import Edition
from durahub.server.selection import SelectedBackend, components_for, select_backend

T = TypeVar("T")
CommandT = TypeVar("CommandT", bound=Callable[..., object])

Paths = tuple[str, ...]

EXIT_NOT_CURRENT = 3

EXIT_CODES = """\b
Exit codes:
  0    done
  2    not done: standard error says what failed, where, and what to do
  130  interrupted; what was reported stays done
"""

EXIT_CODES_OF_STATUS = """\b
Exit codes:
  0    the schema is the one that this program needs
  2    not known: standard error says what failed, where, and what to do
  3    there is no task hub, or its schema is older: run `durahub db migrate`
"""

_RESOURCES = "durahub.cli.resource_paths"


def _remember_resources(
    ctx: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> None:
    ctx.meta[_RESOURCES] = tuple(map(Path, value))


def _config_option(command: CommandT) -> CommandT:
    """Add what says which store it is: `--config`, and where its secrets are."""
    command = click.option(
        "--resources-path",
        multiple=True,
        metavar="PATH",
        expose_value=False,
        callback=_remember_resources,
        help=RESOURCES_HELP,
    )(command)
    return click.option("--config", multiple=True, metavar="FILE", help=CONFIG_HELP)(command)


_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the same keys in every release."
)


HELP = """Look after the store that a configuration selects, without running a sidecar on it.

The store is the one that `durahub serve` would use with the same --config. A store for one process at a
time is refused while a sidecar uses it.
"""


def db_group(edition: Edition) -> click.Group:
    """Return the command group `db` of a build."""
    return LazyGroup(
        "db",
        help=HELP,
        lazy={
            "status": LazyCommand(
                "Tell where the store is, and which schema it has.", lambda: _status(edition)
            ),
            "plan": LazyCommand("List what migrate would do.", lambda: _plan(edition)),
            "migrate": LazyCommand(
                "Create the task hub, or upgrade its schema.", lambda: _migrate(edition)
            ),
            "grant-reader": LazyCommand(
                "Let a role of the store's own read.", lambda: _grant_reader(edition)
            ),
        },
    )


def _status(edition: Edition) -> click.Command:
    @click.command("status", epilog=EXIT_CODES_OF_STATUS)
    @_config_option
    @_json_option
    def status(*, config: Paths, as_json: bool) -> int:
        """Tell where the store is, which schema version it has, and which one this program needs."""
        selected = _select(edition, config)
        found = _call(selected, selected.backend.schema_status)
        if as_json:
            _print_json(
                {
                    **_place(selected),
                    "found": found.found,
                    "current": found.current,
                    "isCurrent": found.found == found.current,
                }
            )
        else:
            _print_status(selected, found)
        return 0 if found.found == found.current else EXIT_NOT_CURRENT

    return status


def _plan(edition: Edition) -> click.Command:
    @click.command("plan", epilog=EXIT_CODES)
    @_config_option
    @click.option("--script", is_flag=True, help="Also show what each of them runs, to be read.")
    @_json_option
    def plan(*, config: Paths, script: bool, as_json: bool) -> None:
        """List what migrate would do, and change nothing."""
        selected = _select(edition, config)
        pending = _call(selected, selected.backend.pending_migrations)
        if as_json:
            _print_json(
                {**_place(selected), "migrations": [migration._asdict() for migration in pending]}
            )
        else:
            _print_plan(selected, pending, with_script=script)

    return plan


def _migrate(edition: Edition) -> click.Command:
    @click.command("migrate", epilog=EXIT_CODES)
    @_config_option
    def migrate(*, config: Paths) -> None:
        """Create the task hub, or bring its schema up to date; keeps all that is stored.

        It does so also where the configuration tells sidecars not to, as `autoMigrate: false` does. It may
        be repeated, and several may run at the same time.
        """
        selected = _select(edition, config)
        click.echo(f"migrating {selected.backend.describe()}")
        done: list[str] = []

        def report(name: str) -> None:
            done.append(name)
            click.echo(f"done: {name}")

        _call(selected, lambda: selected.backend.migrate(report))
        click.echo("the schema is up to date" if done else "the schema was up to date already")

    return migrate


def _grant_reader(edition: Edition) -> click.Command:
    @click.command("grant-reader", epilog=EXIT_CODES)
    @click.argument("role")
    @_config_option
    def grant_reader(*, role: str, config: Paths) -> None:
        """Let ROLE, a role of the store's own, read what the backend documents for people.

        On Postgres these are the views; a role that does not exist is created, without a login. It may be
        repeated. Backends whose store has no roles refuse.
        """
        selected = _select(edition, config)
        _call(selected, lambda: selected.backend.grant_reader(role))
        click.echo(f"role {role!r} may read {selected.backend.describe()}")

    return grant_reader


def _select(edition: Edition, config: Paths) -> SelectedBackend:
    resources: tuple[Path, ...] = click.get_current_context().meta[_RESOURCES]
    configuration = load_configuration(
        [Path(path) for path in config],
        environ=os.environ,
        secret_stores=load_secret_stores(resources, environ=os.environ),
    )
    return select_backend(edition, configuration)


def _call(selected: SelectedBackend, work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        async with _opened(selected):
            return await work()

    return asyncio.run(main())


@asynccontextmanager
async def _opened(selected: SelectedBackend) -> AsyncIterator[None]:
    resources: tuple[Path, ...] = click.get_current_context().meta[_RESOURCES]
    components = components_for(load_components(resources, environ=os.environ))
    await selected.backend.open(BackendServices(clock=SystemClock(), components=components))
    try:
        yield
    finally:
        await selected.backend.close()


def _place(selected: SelectedBackend) -> dict[str, object]:
    return {
        "store": selected.backend.describe(),
        "backendType": selected.identity.backend_type,
        "distribution": selected.identity.backend_distribution,
        "version": selected.identity.backend_version,
    }


def _print_json(document: dict[str, object]) -> None:
    click.echo(json.dumps(document, indent=2))


def _print_status(selected: SelectedBackend, status: SchemaStatus) -> None:
    identity = selected.identity
    click.echo(f"store:   {selected.backend.describe()}")
    click.echo(
        f"backend: {identity.backend_type}"
        f" ({identity.backend_distribution} {identity.backend_version})"
    )
    if status.found is None:
        verdict = "there is no task hub; create it with `durahub db migrate`"
    elif status.found == status.current:
        verdict = f"version {status.found}, up to date"
    else:
        verdict = (
            f"version {status.found}, and this program needs {status.current};"
            " upgrade it with `durahub db migrate`"
        )
    click.echo(f"schema:  {verdict}")


def _print_plan(
    selected: SelectedBackend, pending: tuple[Migration, ...], *, with_script: bool
) -> None:
    if not pending:
        click.echo(f"{selected.backend.describe()} is up to date; there is nothing to do")
        return
    click.echo(f"`durahub db migrate` would do in {selected.backend.describe()}:")
    for number, migration in enumerate(pending, start=1):
        click.echo(f"{number}. {migration.name}")
        if with_script:
            click.echo(migration.script or "(the backend shows no script)")
