"""The JSON that the HTTP API takes and gives, as models: they validate, and the OpenAPI document shows them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from durahub.backend import InstanceRecord, InstanceView, ParentLink
from durahub.engine.client import MAX_FOUND, Selection
from durahub.protocol import messages as pb
from durahub.types import RuntimeStatus

DEFAULT_LIMIT = 100
LONGEST_WAIT_S = 300

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NOTHING_PAST_MICROS = re.compile(r"(\.\d{6})\d+")


def _wire_name(name: str) -> str:
    return re.sub(r"Id(?=$|[A-Z])", "ID", to_camel(name))


def _parse_time(given: object) -> object:
    if not isinstance(given, str):
        return given
    text = given.upper()
    if not _RFC_3339.fullmatch(text):
        raise ValueError("is no RFC 3339 time with a zone, such as 2026-11-23T20:00:00Z")
    try:
        return datetime.fromisoformat(_NOTHING_PAST_MICROS.sub(r"\1", text)).astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of the years 1 to 9999") from None


Time = Annotated[datetime, BeforeValidator(_parse_time)]
Status = Literal[
    "RUNNING",
    "COMPLETED",
    "CONTINUED_AS_NEW",
    "FAILED",
    "CANCELED",
    "TERMINATED",
    "PENDING",
    "SUSPENDED",
    "STALLED",
]
Limit = Annotated[int, Field(ge=1, le=MAX_FOUND)]


class Model(BaseModel):
    """JSON of ours: names as on the wire, nothing that is not expected, nothing that changes."""

    model_config = ConfigDict(
        alias_generator=_wire_name, extra="forbid", frozen=True, validate_by_name=True
    )


class ErrorBody(Model):
    """A refusal."""

    error_code: str
    message: str


class Empty(Model):
    """Nothing more to say."""


class Started(Model):
    """The instance that was started."""

    instance_id: str


class DaprStartQuery(BaseModel):
    """Which instance to start, and in which application; other parameters are ignored, as on Dapr."""

    instance_id: str = Field(default="", alias="instanceID")
    app_id: str = Field(default="", alias="appID")


class DaprQuery(BaseModel):
    """In which application the instance is; other parameters are ignored, as on Dapr."""

    app_id: str = Field(default="", alias="appID")


class DaprWorkflow(Model):
    """An instance, as Dapr describes it."""

    instance_id: str
    workflow_name: str
    created_at: str
    last_updated_at: str
    runtime_status: str
    properties: dict[str, str]


class HealthQuery(BaseModel):
    """Which application is meant; other parameters are ignored."""

    appid: str | None = None


class Filter(Model):
    """Selects instances; all conditions must hold."""

    status: list[Status] = Field(default=[], max_length=9)
    name: str | None = Field(default=None, max_length=1000)
    created_from: Time | None = None
    created_to: Time | None = None
    parent: str | None = None
    tags: dict[str, str | None] = Field(default={}, max_length=100)

    def selection(self, **more: Any) -> Selection:
        """Return what it selects.

        Args:
            more: Further attributes of the selection.
        """
        return Selection(
            statuses=tuple(RuntimeStatus[name] for name in dict.fromkeys(self.status)),
            name=self.name,
            created_from=self.created_from,
            created_to=self.created_to,
            parent_id=self.parent,
            tags=self.tags,
            **more,
        )


class CountQuery(Model):
    """A filter as query parameters, and where to go on."""

    status: list[Status] = Field(default=[], max_length=9)
    name: str | None = Field(default=None, max_length=1000)
    created_from: Time | None = None
    created_to: Time | None = None
    parent: str | None = None
    tag: list[str] = Field(
        default=[], max_length=100, description="`key=value`, or `key` alone for any value"
    )
    page_token: str | None = None

    def filter(self) -> Filter:
        """Return the filter."""
        pairs = (text.partition("=") for text in self.tag)
        return Filter(
            status=self.status,
            name=self.name,
            created_from=self.created_from,
            created_to=self.created_to,
            parent=self.parent,
            tags={key: value if sign else None for key, sign, value in pairs},
        )


class ListQuery(CountQuery):
    """A filter as query parameters, and which page."""

    limit: Limit = DEFAULT_LIMIT


class LookQuery(Model):
    """Whether to send payloads along."""

    payloads: bool = True


class WaitQuery(LookQuery):
    """What to wait for, and how long."""

    what: Literal["started", "completed"] = Field(default="completed", alias="for")
    timeout: float = Field(default=60, ge=0, le=LONGEST_WAIT_S, description="seconds")


class HistoryQuery(Model):
    """Which part of a history."""

    start: int = Field(default=0, ge=0, alias="from", description="events to leave out")
    limit: Limit = MAX_FOUND


class StartBody(Model):
    """A workflow to start."""

    name: str = Field(min_length=1)
    instance_id: str = ""
    input: str | None = Field(default=None, description="raw text, by custom JSON")
    version: str | None = None
    scheduled_start_at: Time | None = None
    tags: dict[str, str] = {}
    enforce_unique_id: bool = Field(default=False, alias="enforceUniqueID")


class EventBody(Model):
    """An external event."""

    name: str = Field(min_length=1)
    data: str | None = Field(default=None, description="raw text, by custom JSON")


class ReasonBody(Model):
    """Why."""

    reason: str = ""


class TerminateBody(Model):
    """How to end an instance."""

    output: str | None = Field(default=None, description="raw text, by custom JSON")
    recursive: bool = True


class PurgeBody(Model):
    """How to remove an instance."""

    recursive: bool = True
    force: bool = False


class RerunBody(Model):
    """From where to start over; `input`, if it is there, replaces the recorded one, null by none."""

    event_id: int = Field(ge=0, lt=2**31)
    new_instance_id: str = ""
    input: str | None = None
    new_child_instance_id: str = ""


class BulkBody(Model):
    """To which instances; an empty filter needs `all`."""

    filter: Filter = Filter()
    all: bool = False
    dry_run: bool = False
    limit: Limit = DEFAULT_LIMIT
    page_token: str | None = None


class BulkReasonBody(BulkBody, ReasonBody):
    """To which instances, and why."""


class BulkTerminateBody(BulkBody, TerminateBody):
    """Which instances to end, and how."""


class BulkPurgeBody(BulkBody, PurgeBody):
    """Which instances to remove, and how."""


class Parent(Model):
    """The instance that waits for this one."""

    app_id: str
    instance_id: str


class Failure(Model):
    """Why an instance failed, or is stalled."""

    error_type: str
    message: str
    stack_trace: str | None
    is_non_retriable: bool


class InstancePayloads(Model):
    """What users gave or get, as raw texts."""

    input: str | None
    output: str | None
    custom_status: str | None
    failure: Failure | None


class Instance(Model):
    """An instance."""

    instance_id: str
    name: str
    version: str | None
    status: Status
    created_at: datetime
    last_updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    scheduled_start_at: datetime | None
    parent: Parent | None
    tags: dict[str, str]
    execution_id: str
    generation: int
    history_length: int
    parked_reason: str | None
    payloads: InstancePayloads | None = None

    @staticmethod
    def of(record: InstanceRecord) -> Instance:
        """Return what a record says."""
        return Instance.of_view(InstanceView(record=record))

    @staticmethod
    def of_view(view: InstanceView) -> Instance:
        """Return what a reading shows."""
        record, parent = view.record, view.record.parent
        return Instance(
            instance_id=record.key.instance_id,
            name=record.name,
            version=record.version,
            status=record.status.name,  # type: ignore[arg-type]  # the names are those of the literal
            created_at=record.created_at,
            last_updated_at=record.last_updated_at,
            started_at=record.started_at,
            completed_at=record.completed_at,
            scheduled_start_at=record.scheduled_start_at,
            parent=None if parent is None else _parent(parent),
            tags=dict(record.tags),
            execution_id=record.execution_id,
            generation=record.generation,
            history_length=record.history_length,
            parked_reason=record.parked_reason,
            payloads=_payloads(view),
        )


class InstanceList(Model):
    """One page of a listing."""

    instances: list[Instance]
    next_page_token: str | None


class Counts(Model):
    """How many instances there are; of a large store, in the part that was looked at."""

    total: int
    by_status: dict[Status, int]
    next_page_token: str | None


class History(Model):
    """Part of a committed history; the events as protobuf's JSON."""

    execution_id: str
    generation: int
    status: Status
    events: list[dict[str, Any]]
    next: int
    is_last: bool


class Purged(Model):
    """How many instances were removed."""

    purged: int


class BulkFailure(Model):
    """An instance that refused."""

    instance_id: str
    error_code: str
    message: str


class BulkAnswer(Model):
    """What became of one page."""

    dry_run: bool
    matched: list[str]
    done: list[str]
    failed: list[BulkFailure]
    next_page_token: str | None


def _parent(link: ParentLink) -> Parent:
    return Parent(app_id=link.key.app_id, instance_id=link.key.instance_id)


def _payloads(view: InstanceView) -> InstancePayloads | None:
    given = view.payloads
    if given is None:
        return None
    return InstancePayloads(
        input=given.input,
        output=given.output,
        custom_status=given.custom_status,
        failure=None if given.failure is None else _failure(given.failure),
    )


def _failure(encoded: bytes) -> Failure:
    details = pb.TaskFailureDetails.FromString(encoded)
    return Failure(
        error_type=details.errorType,
        message=details.errorMessage,
        stack_trace=details.stackTrace.value if details.HasField("stackTrace") else None,
        is_non_retriable=details.isNonRetriable,
    )
