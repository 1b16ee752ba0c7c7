from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from durahub.server.logs import LEVELS, configure_logging


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def log(*, as_json: bool, level: str = "info") -> tuple[io.StringIO, logging.Logger]:
    stream = io.StringIO()
    configure_logging(level=level, as_json=as_json, app_id="shop", stream=stream)
    return stream, logging.getLogger("durahub.test")


def test_text_is_one_line_of_keys_and_values_in_a_fixed_order() -> None:
    stream, logger = log(as_json=False)
    logger.info("dapr initialized. Init Elapsed %dms", 12, extra={"backend": "sqlite"})
    line = stream.getvalue()
    keys = [part.split("=")[0] for part in line.split() if "=" in part]
    assert keys == ["time", "level", "msg", "app_id", "scope", "type", "ver", "backend"]
    assert (
        'level=info msg="dapr initialized. Init Elapsed 12ms" app_id=shop scope=durahub.test'
        in line
    )
    assert line.count("\n") == 1


def test_json_is_one_object_per_line_also_with_a_traceback() -> None:
    stream, logger = log(as_json=True)
    logger.error("failed", extra={"instance_id": "a b"}, exc_info=ValueError("two\nlines"))
    record = json.loads(stream.getvalue())
    assert record["msg"] == "failed"
    assert record["level"] == "error"
    assert record["app_id"] == "shop"
    assert record["instance_id"] == "a b"
    assert "ValueError: two" in record["exception"]


def test_a_traceback_in_text_stays_on_one_line() -> None:
    stream, logger = log(as_json=False)
    logger.error("failed", exc_info=ValueError("boom"))
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: boom" in stream.getvalue()


def test_a_field_with_a_strange_name_does_not_lose_the_line() -> None:
    stream, logger = log(as_json=False)
    logger.info("hello", extra={"a key": 1, "empty": None, "flag": True})
    assert "msg=hello" in stream.getvalue()
    assert "a_key=1" in stream.getvalue()


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_filters(level: str) -> None:
    stream, logger = log(as_json=False, level=level)
    for number in (10, 20, 30, 40, 50):
        logger.log(number, "m")
    assert len(stream.getvalue().splitlines()) == (60 - LEVELS[level]) // 10


def test_libraries_are_quiet_below_warning() -> None:
    stream, _ = log(as_json=False)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("something is wrong")
    assert "Started" not in stream.getvalue()
    assert "something is wrong" in stream.getvalue()
