"""Settings: the metadata of Dapr's component, as it is."""

from __future__ import annotations

from typing import Any

import pytest
from durahub_actors.stores.redis import RedisSettings
from pydantic import ValidationError


def read(**metadata: Any) -> RedisSettings:
    return RedisSettings.model_validate({"redisHost": "localhost:6379", **metadata})


def test_reads_the_metadata_of_a_dapr_component() -> None:
    settings = read(
        redisUsername="u",
        redisPassword="hush",
        redisDB="3",
        enableTLS="true",
        REDISTYPE="node",
        failover="true",
        sentinelMasterName="m",
        dialTimeout="1m30s",
        readTimeout="250",
        poolSize="5",
        actorStateStore="true",
        maxRetries="3",
        redisMinRetryInterval="8ms",
        ttlInSeconds="600",
        clientCert="",
        useEntraID="false",
    )
    assert (settings.redis_db, settings.enable_tls, settings.failover) == (3, True, True)
    assert (settings.dial_timeout, settings.read_timeout, settings.pool_size) == (90.0, 0.25, 5)
    assert settings.redis_username == "u"
    assert settings.redis_password.get_secret_value() == "hush"


def test_never_shows_a_secret() -> None:
    settings = read(redisUsername="u", redisPassword="hush", sentinelPassword="hush")
    assert "hush" not in f"{settings!r} {settings} {settings.place}"


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("a:1", (("a", 1),)),
        ("a", (("a", 6379),)),
        ("a:1, b:2,[::1]:3,[::2]", (("a", 1), ("b", 2), ("::1", 3), ("::2", 6379))),
    ],
)
def test_reads_addresses(host: str, addresses: tuple[tuple[str, int], ...]) -> None:
    assert read(redisHost=host).addresses == addresses


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"redisHost": "redis://hush@a:1"}, "host:port"),
        ({"redisHost": "a:x"}, "host:port"),
        ({"redisHost": ""}, "host:port"),
        ({"failover": "true"}, "sentinelMasterName"),
        ({"redisType": "cluster", "redisDB": "1"}, "redisDB"),
        ({"redisType": "cluster", "failover": "true", "sentinelMasterName": "m"}, "sentinels"),
        ({"redisPasword": "hush"}, "redisPasword"),
        ({"dialTimeout": "soon"}, "duration"),
        ({"taskHub": "{hush}"}, "task hub"),
        ({"useEntraID": "true"}, "useEntraID"),
        ({"clientCert": "hush"}, "clientKey"),
    ],
)
def test_says_what_is_wrong_and_shows_no_value(metadata: dict[str, str], text: str) -> None:
    with pytest.raises(ValidationError) as error:
        read(**metadata)
    assert text in str(error.value)
    assert "hush" not in str(error.value)
