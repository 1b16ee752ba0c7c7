"""The management API on a store, without a sidecar.

The calls are answered by the very application that answers them in a sidecar, in this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.types import ASGIApp, Message

from durahub.backend import Backend, BackendServices, Component
from durahub.cli.failures import EXIT_FAILURE, CommandError
from durahub.cli.workflow.api import DEFAULT_TIMEOUT_S, Answer, Query, read_answer
from durahub.cli.workflow.exits import UnreachableError
from durahub.clock import SystemClock
from durahub.config import load_components, load_configuration, load_secret_stores
from durahub.edition import Edition
from durahub.engine import Engine, EngineOptions
from durahub.errors import BackendLockedError, BackendUnavailableError
from durahub.server.access import AccessControl
from durahub.server.http_app import app_of
from durahub.server.http_bulk import bulk_endpoints
from durahub.server.http_endpoint import Surroundings
from durahub.server.http_instances import instance_endpoints
from durahub.server.open_waits import OpenWaits
from durahub.server.selection import components_for, select_backend
from durahub.types import AppId

_STOP_S = 10.0


class StoreApi:
    """An application on an event loop of another thread; see `durahub.cli.workflow.api.Api`."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop, store: str) -> None:
        self._app = app
        self._loop = loop
        self._store = store

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Answer:
        """Make one call and return its answer; it takes as long as the store takes."""
        sent = b"" if body is None else json.dumps(body).encode()
        work = _ask(self._app, method, path, urlencode(query), sent)
        status, answered = asyncio.run_coroutine_threadsafe(work, self._loop).result()
        return read_answer(status, answered, where=self._store)


@contextmanager
def open_store(
    edition: Edition,
    config: Sequence[str],
    resources: Sequence[str],
    *,
    app_id: str | None,
    writes: bool,
) -> Iterator[StoreApi]:
    """Open the store that configuration files select, for as long as the block runs.

    To look at it, nothing in it is touched. To write, a session is registered in it, which claims nothing.

    Args:
        edition: Which backends may be loaded.
        config: The files.
        resources: Directories of component files.
        app_id: The application whose instances are meant.
        writes: Whether the block writes.

    Raises:
        CommandError: No application is given, or there is nothing to look at.
        UnreachableError: The store is in use by a sidecar that shares it with nobody, or away.
        DurahubError: The configuration or the store can't be used.
    """
    if not app_id:
        raise CommandError(
            "a store may be that of several applications; say which with --app-id",
            exit_code=EXIT_FAILURE,
        )
    backend = _select(edition, config, resources, app_id)
    paths = list(map(Path, resources))
    components = components_for(load_components(paths, environ=os.environ, app_id=app_id))
    opened: Future[StoreApi] = Future()
    done = threading.Event()

    async def serve() -> None:
        async with _opened(backend, AppId(app_id), components, writes=writes) as app:
            loop = asyncio.get_running_loop()
            opened.set_result(StoreApi(app, loop, backend.describe()))
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=_run, args=(serve, opened), daemon=True)
    thread.start()
    try:
        yield opened.result()
    finally:
        done.set()
        thread.join()


def _run(serve: Callable[[], Coroutine[Any, Any, None]], opened: Future[StoreApi]) -> None:
    try:
        asyncio.run(serve())
    except BaseException as error:
        if opened.done():
            raise
        opened.set_exception(error)


def _select(
    edition: Edition, config: Sequence[str], resources: Sequence[str], app_id: str
) -> Backend:
    stores = load_secret_stores(list(map(Path, resources)), environ=os.environ, app_id=app_id)
    configuration = load_configuration(
        list(map(Path, config)), environ=os.environ, secret_stores=stores
    )
    backend = select_backend(edition, configuration).backend
    if not backend.capabilities.durable:
        raise CommandError(
            f"{backend.describe()} keeps nothing that could be looked at without its sidecar",
            exit_code=EXIT_FAILURE,
        )
    return backend


@asynccontextmanager
async def _opened(
    backend: Backend, app_id: AppId, components: tuple[Component, ...], *, writes: bool
) -> AsyncIterator[ASGIApp]:
    options = EngineOptions(app_id=app_id, components=components)
    engine = Engine(backend, options, clock=SystemClock())
    try:
        await _look(backend, components)
        async with _started(engine) if writes else _open(backend, components):
            yield _app(engine, app_id)
    except BackendLockedError as error:
        raise UnreachableError(f"{error}; without --config, its sidecar is asked") from error
    except BackendUnavailableError as error:
        raise UnreachableError(str(error)) from error


def _app(engine: Engine, app_id: AppId) -> ASGIApp:
    client = engine.client
    surroundings = Surroundings(
        access=AccessControl(),
        client=client,
        is_serving=lambda: True,
        max_body_bytes=None,
        waits=OpenWaits(),
    )
    endpoints = [*instance_endpoints(client, app_id), *bulk_endpoints(client)]
    return app_of(endpoints, surroundings)


@asynccontextmanager
async def _open(backend: Backend, components: tuple[Component, ...]) -> AsyncIterator[None]:
    await backend.open(BackendServices(clock=SystemClock(), components=components))
    try:
        yield
    finally:
        await backend.close()


@asynccontextmanager
async def _started(engine: Engine) -> AsyncIterator[None]:
    await engine.start()
    try:
        yield
    finally:
        await engine.stop(_STOP_S)


async def _look(backend: Backend, components: tuple[Component, ...]) -> None:
    """Refuse a store that would have to be changed before it can be used.

    Raises:
        CommandError: Its schema is another one.
    """
    async with _open(backend, components):
        found, current = await backend.schema_status()
    if found is None:
        raise CommandError(f"there is no task hub in {backend.describe()}", exit_code=EXIT_FAILURE)
    if found != current:
        raise CommandError(
            f"the schema of {backend.describe()} has version {found}, and this program needs {current};"
            " see `durahub db`",
            exit_code=EXIT_FAILURE,
        )


async def _ask(app: ASGIApp, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
    """Carry out an HTTP request without HTTP; returns the status and the body of the answer."""
    answer = {"status": 0, "body": b""}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"content-type", b"application/json")],
        "client": None,
        "server": None,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
        else:
            answer["body"] += message.get("body", b"")

    await app(scope, receive, send)
    status, answered = answer["status"], answer["body"]
    assert isinstance(status, int)
    assert isinstance(answered, bytes)
    return status, answered
