"""What `spec.workflow` may hold.

The names are those of the proposal (`maxConcurrentWorkflows`) and those of Dapr today
(`maxConcurrentWorkflowInvocations`); where both exist, they mean the same.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from durahub.config.duration import parse_duration

DAPR_NAMES = {
    "maxConcurrentWorkflowInvocations": "maxConcurrentWorkflows",
    "maxConcurrentActivityInvocations": "maxConcurrentActivities",
}
"""Dapr's name of a limit to the name used here."""

_INT32_MAX = 2**31 - 1
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def parse_limit(value: object) -> int | None:
    """Return a limit; None, which is unlimited, for a missing, zero or negative one.

    A string of digits is a number, because that is what an environment variable gives.

    Raises:
        ValueError: It is no whole number, or does not fit into 32 bits.
    """
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("expected a whole number")  # noqa: TRY004 - pydantic passes TypeError on
    if value > _INT32_MAX:
        raise ValueError(f"expected at most {_INT32_MAX}")
    return value if value > 0 else None


def _checked_limit(value: object) -> int | None:
    try:
        return parse_limit(value)
    except ValueError as error:
        raise PydanticCustomError("durahub_limit", "{reason}", {"reason": str(error)}) from None


def _checked_duration(value: object) -> timedelta | None:
    if value is None:
        return None
    # An unquoted 0 is a number in YAML, and it needs no unit; nothing else that is no text is a duration.
    text = "0" if value == 0 and not isinstance(value, bool) else value
    try:
        return parse_duration(text if isinstance(text, str) else "")
    except ValueError as error:
        raise PydanticCustomError("durahub_duration", "{reason}", {"reason": str(error)}) from None


Limit = Annotated[int | None, BeforeValidator(_checked_limit)]
Duration = Annotated[timedelta | None, BeforeValidator(_checked_duration)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=AliasGenerator(validation_alias=to_camel),
    )


class NamedLimit(_Section):
    """A limit that holds for one workflow or activity name.

    Attributes:
        name: The name.
        max_concurrent: How many may run at the same time; None for unlimited.
    """

    name: str = Field(min_length=1)
    max_concurrent: Limit


class StateRetentionPolicy(_Section):
    """How long ended instances are kept; None says nothing.

    Attributes:
        any_terminal: Holds for every end that has no period of its own.
        completed: Holds for instances that completed.
        failed: Holds for instances that failed.
        terminated: Holds for instances that were terminated.
    """

    any_terminal: Duration = None
    completed: Duration = None
    failed: Duration = None
    terminated: Duration = None


class WorkflowSection(_Section):
    """The keys of `spec.workflow`, except that `storeConfiguration` is checked by the backend."""

    backend_type: str | None = None
    max_concurrent_workflows: Limit = Field(
        default=None,
        validation_alias=AliasChoices("maxConcurrentWorkflows", "maxConcurrentWorkflowInvocations"),
    )
    max_concurrent_activities: Limit = Field(
        default=None,
        validation_alias=AliasChoices(
            "maxConcurrentActivities", "maxConcurrentActivityInvocations"
        ),
    )
    global_max_concurrent_workflow_invocations: Limit = None
    global_max_concurrent_activity_invocations: Limit = None
    workflow_concurrency_limits: tuple[NamedLimit, ...] = ()
    activity_concurrency_limits: tuple[NamedLimit, ...] = ()
    state_retention_policy: StateRetentionPolicy = StateRetentionPolicy()
    store_configuration: dict[str, object] = Field(default={}, repr=False)

    @field_validator("backend_type")
    @classmethod
    def _looks_like_a_name(cls, value: str | None) -> str | None:
        if value is None or re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
            return value
        raise PydanticCustomError("durahub_backend_type", "expected the name of a backend")

    @field_validator("workflow_concurrency_limits", "activity_concurrency_limits")
    @classmethod
    def _names_are_unique(cls, limits: tuple[NamedLimit, ...]) -> tuple[NamedLimit, ...]:
        if len({limit.name for limit in limits}) < len(limits):
            raise PydanticCustomError("durahub_limits", "two limits have the same name")
        return limits
