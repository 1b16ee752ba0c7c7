"""A server that goes away, refuses, or is busy: a clear error of the right kind, and on when it is back."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import pytest
from durahub.backend import InstanceCreated
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    SessionFencedError,
    TaskHubNotFoundError,
)
from durahub_postgres.errors import translate_errors


def failed(code: str) -> asyncpg.PostgresError:
    error: asyncpg.PostgresError = asyncpg.PostgresError.new({"C": code, "M": "it failed"})
    return error


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (failed("DH001"), SessionFencedError, "not alive"),
        (failed("40001"), BackendUnavailableError, "same rows"),
        (failed("40P01"), BackendUnavailableError, "same rows"),
        (failed("53300"), BackendUnavailableError, "too many connections"),
        (failed("53100"), BackendUnavailableError, "disk is full"),
        (failed("25006"), BackendUnavailableError, "read-only"),
        (failed("57P01"), BackendUnavailableError, "shut"),
        (failed("57P03"), BackendUnavailableError, "starting"),
        (failed("57P04"), BackendUnavailableError, "lost"),
        (failed("08006"), BackendUnavailableError, "lost"),
        (failed("57014"), BackendUnavailableError, "statementTimeout"),
        (failed("28P01"), BackendError, "password"),
        (failed("3D000"), BackendError, "create it"),
        (failed("42501"), BackendError, "lacks a right"),
        (failed("54000"), BackendError, "too long"),
        (failed("42883"), TaskHubNotFoundError, "create it first"),
        (failed("XX001"), BackendCorruptionError, "it failed"),
        (failed("22003"), BackendError, "does not fit"),
        (failed("23505"), BackendError, "it failed"),
        (asyncpg.InterfaceError("closed"), BackendUnavailableError, "lost"),
        (TimeoutError(), BackendUnavailableError, "in time"),
        (ConnectionResetError(104, "reset"), BackendUnavailableError, "reset"),
    ],
)
def test_errors_have_the_kind_that_says_what_to_do(
    raised: Exception, expected: type[BackendError], text: str
) -> None:
    with pytest.raises(expected, match=text) as caught, translate_errors("here"):
        raise raised
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"database": "missing"}, "database does not exist"),
        ({"role": "nobody", "password": "hunter2"}, "refuses (this user|the password)"),
    ],
)
async def test_what_can_never_work_fails_at_start_and_says_what_to_do(
    url_of: Callable[..., str],
    new_backend: Callable[..., Any],
    change: Mapping[str, str],
    hint: str,
) -> None:
    with pytest.raises(BackendError, match=hint) as caught:
        await new_backend(connectionString=url_of(**change))
    assert not caught.value.retryable
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_too_many_connections_are_temporary(
    sql: Any, schema: str, url_of: Callable[..., str], new_backend: Callable[..., Any]
) -> None:
    role = f"few_{schema}"
    await sql.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' CONNECTION LIMIT 1")
    try:
        url = url_of(role=role)
        holder = await asyncpg.connect(url)
        with pytest.raises(BackendUnavailableError, match="too many connections"):
            await new_backend(connectionString=url)
        await holder.close()
    finally:
        await sql.execute(f"DROP ROLE {role}")


async def test_work_goes_on_after_all_connections_were_cut(hub: Any, make: Any) -> None:
    cut = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = (SELECT connections FROM sessions)
    """
    done = 0
    unavailable = 0
    for number in range(30):
        if number % 5 == 0:
            await hub.sql.execute(cut)
        while True:
            try:
                applied = await hub.apply(make.creation(f"i{number}"))
            except BackendUnavailableError:
                unavailable += 1
                continue
            break
        done += applied.results == (InstanceCreated(generation=1),)
    assert done + unavailable >= 30
    assert await hub.sql.fetchval("SELECT count(*) FROM instances") == 30
    assert 0 < unavailable < 30


async def test_call_that_takes_too_long_is_given_up(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    backend = await new_backend(statementTimeout=0.3)
    await hub.start(make.creation("one"))
    async with hub.sql.transaction():
        await hub.sql.execute("SELECT * FROM schedule FOR UPDATE")
        await backend.register(make.registration("other"))
        with pytest.raises(BackendUnavailableError, match="statementTimeout"):
            await backend.apply("other", [make.delivery("one", b"x")])
    await backend.apply("other", [make.delivery("one", b"x")])


@pytest.mark.usefixtures("hub")
async def test_read_only_server_is_told_and_recovers(
    make: Any, sql: Any, schema: str, url_of: Callable[..., str], new_backend: Callable[..., Any]
) -> None:
    role = f"reader_{schema}"
    await sql.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' SUPERUSER")
    await sql.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    try:
        url = url_of(role=role)
        backend = await new_backend(connectionString=url)
        for _ in range(2):
            with pytest.raises(BackendUnavailableError, match="read-only"):
                await backend.apply(make.session, [make.creation("one")])
        await sql.execute(f"ALTER ROLE {role} RESET default_transaction_read_only")
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role
        )
        await asyncio.sleep(0.1)
        await backend.apply(make.session, [make.creation("one")])
        await backend.close()
    finally:
        await sql.execute(f"DROP ROLE {role}")


async def test_commit_waits_for_the_disk_even_where_the_default_is_not_to(
    sql: Any, schema: str, url_of: Callable[..., str], new_backend: Callable[..., Any]
) -> None:
    role = f"lazy_{schema}"
    await sql.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret' SUPERUSER; ALTER ROLE {role} SET synchronous_commit = off"
    )
    try:
        backend = await new_backend(connectionString=url_of(role=role))
        async with backend._connections.lend() as connection:
            assert await connection.fetchval("SHOW synchronous_commit") == "on"
        await backend.close()
    finally:
        await sql.execute(f"DROP ROLE {role}")


async def test_gap_in_a_history_names_the_instance(hub: Any, make: Any) -> None:
    claimed = await hub.start(make.creation("broken"), make.creation("sound"))
    await hub.apply(*(make.turn(one, history=(b"1", b"2", b"3")) for one in claimed))
    await hub.sql.execute(
        "DELETE FROM history WHERE seq = 1 AND instance ="
        " (SELECT instance FROM instances WHERE instance_id = 'broken')"
    )
    with pytest.raises(BackendCorruptionError, match=r"'broken'.*event 1"):
        await hub.backend.history([make.key("sound"), make.key("broken")])
    assert len((await hub.backend.history([make.key("sound")]))[0].events) == 3
