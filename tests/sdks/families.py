"""The families of Dapr's workflow SDKs that these tests run, and what each of them is known to get wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import pytest

Language = Literal["python", "javascript", "go", "java"]


class Defect(StrEnum):
    """What an SDK gets wrong whatever the sidecar does; README.md has the evidence."""

    NEVER_CONNECTS_AGAIN = "the worker ends with its first stream"
    LOST_WITH_THE_FIRST_STREAM = "the worker ends if its first stream breaks"
    LOSES_FAILURES = "an activity's failure does not say of which instance"
    HIDES_CUSTOM_STATUS = "clients cannot read a custom status"
    LOSES_CARRIED_EVENTS = "events are lost if several wait for a new generation"


@dataclass(frozen=True)
class Family:
    """One version of one SDK.

    Attributes:
        name: As tests call it.
        language: Folder of its application.
        pins: File or folder with the exact versions, within that folder.
        status_is_json: A custom status is stored as JSON, not as the text that was set.
        is_long: Only the long form of the tests runs it.
        defects: What it gets wrong.
    """

    name: str
    language: Language
    pins: str
    status_is_json: bool = False
    is_long: bool = False
    defects: frozenset[Defect] = field(default_factory=frozenset)


FAMILIES = (
    Family("python-1.15", "python", "1.15.txt", status_is_json=True),
    Family(
        "python-1.16",
        "python",
        "1.16.txt",
        status_is_json=True,
        defects=frozenset({Defect.NEVER_CONNECTS_AGAIN}),
    ),
    Family("python-1.17", "python", "1.17.txt"),
    Family("python-1.18", "python", "1.18.txt"),
    Family("python-1.19", "python", "1.19.txt"),
    Family(
        "javascript-3.18",
        "javascript",
        "3.18",
        defects=frozenset({Defect.LOST_WITH_THE_FIRST_STREAM}),
    ),
    Family(
        "javascript-3.6",
        "javascript",
        "3.6",
        defects=frozenset({Defect.LOSES_FAILURES, Defect.LOSES_CARRIED_EVENTS}),
    ),
    Family("go", "go", ".", is_long=True),
    Family("java", "java", ".", is_long=True, defects=frozenset({Defect.HIDES_CUSTOM_STATUS})),
)

ON_ONE_PORT = tuple(family for family in FAMILIES if family.language in {"python", "javascript"})
"""They number a workflow's tasks alike, so that an instance may go from one to the other."""


def each_family(*, without: Defect | None = None) -> pytest.MarkDecorator:
    """Run a test with the stand of each family, except for those with a defect that it would only show."""
    return pytest.mark.parametrize(
        "stand",
        [
            pytest.param(
                family, id=family.name, marks=(pytest.mark.long,) if family.is_long else ()
            )
            for family in FAMILIES
            if without not in family.defects
        ],
        indirect=True,
    )
