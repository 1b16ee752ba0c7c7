from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import BackendServices
from durahub.clock import SystemClock
from durahub.errors import BackendError
from durahub_postgres import PostgresBackend, PostgresSettings
from pydantic import ValidationError

SECRET = "hunter2"


def parse(url: str, **fields: Any) -> PostgresSettings:
    return PostgresSettings.model_validate({"connectionString": url, **fields})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:hunter2@db:5432/orders", "postgres://db:5432/orders?schema=durahub"),
        ("postgres://db/orders?sslmode=verify-full", "postgres://db/orders?schema=durahub"),
        ("postgresql://u:hunter2%40%2F@[::1]:5/o", "postgres://[::1]:5/o?schema=durahub"),
        ("postgresql://u@a:1,b:2/o", "postgres://a:1,b:2/o?schema=durahub"),
        (
            "postgresql:///?host=/run/pg&dbname=o&user=u&password=hunter2",
            "postgres:///run/pg/o?schema=durahub",
        ),
    ],
)
def test_place_is_told_without_secrets(url: str, place: str) -> None:
    settings = parse(url)
    assert settings.place == place
    assert PostgresBackend(settings).describe() == place
    assert SECRET not in repr(settings) + str(settings) + repr(settings.model_dump())


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite:///hub.db?x=hunter2", "such as postgresql://"),
        ("host=db password=hunter2", "such as postgresql://"),
        ("", "such as postgresql://"),
        ("postgresql://[u:hunter2@db/orders", "no URL"),
        ("postgresql://u:hun/ter2hunter2@db/orders", "%40 for @"),
        ("postgresql://u:hunter2#@db/orders", "%40 for @"),
        ("postgresql://u:hunter2", "stand before an @"),
        ("postgresql://u@db:hunter2/orders", "a port is a number"),
        ("postgresql://u@db:/orders?password=hunter2", "a port is a number"),
        ("postgresql://u@a,,b/orders?password=hunter2", "host:port"),
        ("postgresql://u@a:1:2/orders?password=hunter2", "host:port"),
        ("postgresql://u@/orders?port=hunter2", "a port is a number"),
        ("postgresql://u:hunter2@db/orders?connect_timeout=3", "connectTimeout"),
        ("postgresql://u:hunter2@db/orders?sslmod=require", "not known here"),
    ],
)
def test_wrong_url_is_refused_without_repeating_it(url: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint) as caught:
        parse(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "schema", ["public", "pg_hub", "information_schema", "", "Hub", "1hub", 'h"ub', "h" * 51, "hüb"]
)
def test_schema_needs_a_plain_name_of_its_own(schema: str) -> None:
    with pytest.raises(ValidationError, match="schema of its own"):
        parse("postgresql://db/orders", schema=schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"poolSize": 1},
        {"statementTimeout": 0},
        {"connectTimeout": -1},
        {"notifications": "maybe"},
        {"sessionTimeToLive": 0.9},
        {"sessionTimeToLive": "30s"},
        {"sessionTimeToLive": float("nan")},
        {"sessionTimeToLive": 3601},
        {"schem": "x"},
    ],
)
def test_wrong_keys_and_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parse("postgresql://db/orders", **wrong)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [({}, 30), ({"sessionTimeToLive": 1}, 1), ({"sessionTimeToLive": 2.5}, 2.5)],
)
def test_sessions_live_as_long_as_the_settings_say(
    fields: dict[str, object], seconds: float
) -> None:
    backend = PostgresBackend(parse("postgresql://db/orders", **fields))
    assert backend.session_time_to_live == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("url", "retryable", "hint"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/orders", True, "can't be reached"),
        ("postgresql://u:hunter2@nowhere.invalid/orders", True, "can't be reached"),
        ("postgresql://u:hunter2@/orders?host=/nowhere", True, "can't be reached"),
        ("postgresql://u:hunter2@h/o?sslmode=maybe", False, "can't be used"),
        (
            "postgresql://u:hunter2@h/o?sslmode=verify-full&sslrootcert=/nowhere",
            False,
            "at /nowhere",
        ),
    ],
)
async def test_failed_connection_tells_no_secret(url: str, retryable: bool, hint: str) -> None:  # noqa: FBT001
    backend = PostgresBackend(parse(url, connectTimeout=2))
    with pytest.raises(BackendError, match=hint) as caught:
        await backend.open(BackendServices(clock=SystemClock()))
    assert caught.value.retryable is retryable
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    await backend.close()
