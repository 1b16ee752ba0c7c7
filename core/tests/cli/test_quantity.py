from __future__ import annotations

import pytest
from durahub.cli.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4Mi", 4 * 1024 * 1024),
        ("4M", 4_000_000),
        ("1Gi", 1024**3),
        ("512k", 512_000),
        ("512Ki", 512 * 1024),
        ("4194304", 4194304),
        ("1.5G", 1_500_000_000),
        (".5Ki", 512),
        ("1e3", 1000),
        ("0.0001", 1),
        ("0", 0),
        ("-1", -1),
        ("-1Mi", -1048576),
        (" 4Mi ", 4194304),
    ],
)
def test_quantities_are_bytes(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "4MB", "4mi", "Mi", "1,5G", "four", "4 Mi", "4i", "nan", "inf"]
)
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"no quantity; write .* 4Mi"):
        parse_quantity(text)
