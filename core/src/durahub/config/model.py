"""The configuration of one sidecar, as the rest of the program sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from durahub.config.sections import (
    ApiSection,
    LoggingSection,
    MetricsSection,
    TracingSection,
)
from durahub.config.tree import Position, Table
from durahub.config.workflow import NamedLimit, StateRetentionPolicy


@dataclass(frozen=True, slots=True)
class StoreConfiguration:
    """What `storeConfiguration` holds, to be validated by the selected backend's own model.

    Attributes:
        table: The content, with positions. It may hold secrets and is in no `repr`.
        at: Where the key stands; None if there is none.
    """

    table: Table = field(default_factory=lambda: Table({}, Position("", 0)), repr=False)
    at: Position | None = None


class Configuration(BaseModel):
    """The merged content of the configuration files, or the defaults where there are none.

    Attributes:
        name: `metadata.name` of the last file that has one.
        sources: The files, in the order in which they were merged.
        backend_type: The selected backend; None for the default of the build.
        backend_location: Where it is selected, as `file:line: key`; empty if it is not.
        max_concurrent_workflows: How many workflow turns may be in flight in this sidecar; None for
            unlimited, here and in all other limits.
        max_concurrent_activities: How many activities may be in flight in this sidecar.
        global_max_concurrent_workflows: How many workflow turns may be in flight in all sidecars of the
            application together.
        global_max_concurrent_activities: The same for activities.
        workflow_concurrency_limits: The same for the workflows of a name, besides the limit for all.
        activity_concurrency_limits: The same for the activities of a name, besides the limit for all.
        limits_location: Where the first of these limits over all sidecars is set, as `file:line: key`;
            empty if none is.
        state_retention: How long ended instances are kept.
        api: Which parts of the API there are, and for whom.
        logging: What is logged.
        metrics: What is measured.
        tracing: What is traced.
        ignored_sections: Sections of `spec` that Dapr knows and that say nothing here.
        unknown_keys: Keys in the sections that are gone by, which only Dapr may know.
        store: What `storeConfiguration` holds; see `validate_store_configuration`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str | None = None
    sources: tuple[str, ...] = ()
    backend_type: str | None = None
    backend_location: str = ""
    max_concurrent_workflows: int | None = None
    max_concurrent_activities: int | None = None
    global_max_concurrent_workflows: int | None = None
    global_max_concurrent_activities: int | None = None
    workflow_concurrency_limits: tuple[NamedLimit, ...] = ()
    activity_concurrency_limits: tuple[NamedLimit, ...] = ()
    limits_location: str = ""
    state_retention: StateRetentionPolicy = StateRetentionPolicy()
    api: ApiSection = ApiSection()
    logging: LoggingSection = LoggingSection()
    metrics: MetricsSection = MetricsSection()
    tracing: TracingSection = TracingSection()
    ignored_sections: tuple[str, ...] = ()
    unknown_keys: tuple[str, ...] = ()
    store: InstanceOf[StoreConfiguration] = Field(
        default_factory=StoreConfiguration, repr=False, exclude=True
    )
