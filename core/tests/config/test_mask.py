from __future__ import annotations

from datetime import date

import pytest
from durahub.config.mask import mask
from durahub.config.tree import Plain
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("no host hunter2", "hunter2", "no host ***"),
        ("no host HUNTER2!", "hunter2", "no host ***!"),
        ("no host nter", "hunter2", "no host ***"),
        ("no host nte", "hunter2", "no host nte"),
        ("a pw b", "pw", "a *** b"),
        ("a b", "a", "a b"),
        ("port 12345", 12345, "port ***"),
        ("since 2026-01-02", date(2026, 1, 2), "since ***"),
        ("raw secret", b"secret", "raw ***"),
        ("None or True", None, "None or True"),
        ("None or True", True, "None or True"),
        ("secretsecret x secret", "secret", "*** x ***"),
        ("x aaaaaa y", "aaaa", "x *** y"),
        ("Straße in Berlin", "berlin", "Straße in ***"),
        ("", "hunter2", ""),
    ],
)
def test_mask_replaces_what_is_repeated(text: str, value: Plain, expected: str) -> None:
    assert mask(text, [value]) == expected


@given(st.text(), st.text(min_size=4), st.text())
def test_mask_repeated_value_always_hides_it(before: str, value: str, after: str) -> None:
    masked = mask(f"{before}{value}{after}", [value])
    assert value not in masked or value == "*" * len(value)
