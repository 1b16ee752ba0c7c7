"""The same program has the same observable answers on every backend."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from durahub.types import AppId
from hypothesis import HealthCheck, given, note, settings

from tests.differential.flows import FLOWS
from tests.differential.hub import observe
from tests.differential.programs import Step, programs
from tests.differential.stores import (
    NewStore,
    on_actors,
    on_actors_in_postgresql,
    on_memory,
    on_postgres,
    on_sqlite,
)

ANY_PROGRAM = programs(tuple(FLOWS))

IN_POSTGRESQL = pytest.param("actors in postgresql", marks=pytest.mark.long)


@pytest.fixture(scope="module", params=["actors", IN_POSTGRESQL, "sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest) -> Iterator[NewStore]:
    """The backend that is compared with memory."""
    if request.param == "actors":
        yield on_actors
    elif request.param == "sqlite":
        yield on_sqlite
    elif request.param == "actors in postgresql":
        yield request.getfixturevalue("actors_in_postgresql")
    else:
        with on_postgres(request.getfixturevalue("postgres_url")) as on_it:
            yield on_it


@pytest.fixture(scope="module")
def actors_in_postgresql(postgres_url: str) -> Iterator[NewStore]:
    """Actors on a server, which take longer than others."""
    with on_actors_in_postgresql(postgres_url) as on_it:
        yield on_it


def check(program: list[Step], new_store: NewStore) -> None:
    # A store may serve several programs, so that each has an application of its own.
    app_id = AppId(uuid.uuid4().hex)
    expected, found = (
        asyncio.run(_observe(store, program, app_id)) for store in (on_memory, new_store)
    )
    for step, (wanted, got) in enumerate(zip(expected, found, strict=True)):
        note(f"step {step}: {program[step]}\n  memory: {wanted[1:]}\n  the other: {got[1:]}")
        assert got == wanted, f"step {step}, {program[step]}"


async def _observe(new_store: NewStore, program: list[Step], app_id: AppId) -> list[object]:
    with new_store() as new_backend:
        return await observe(new_backend, program, app_id)


def quickly(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )


@pytest.mark.timeout(300)
@given(ANY_PROGRAM)
@quickly(100)
def test_it_answers_as_memory_does(new_store: NewStore, program: list[Step]) -> None:
    check(program, new_store)


@pytest.mark.timeout(300)
@given(ANY_PROGRAM)
@quickly(25)
def test_actors_on_a_server_answer_as_memory_does(
    actors_in_postgresql: NewStore, program: list[Step]
) -> None:
    check(program, actors_in_postgresql)


@pytest.mark.long
@pytest.mark.timeout(7200)
@given(ANY_PROGRAM)
@quickly(2_000)
def test_it_answers_as_memory_does_in_thousands_of_programs(
    new_store: NewStore, program: list[Step]
) -> None:
    check(program, new_store)
