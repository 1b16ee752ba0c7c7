"""What `spec` may hold beside `spec.workflow`, as far as a sidecar goes by it.

The keys are Dapr's, except for `spec.api.tokens`, `spec.logging.level` and `spec.logging.asJson`, which
Dapr leaves alone. What Dapr knows and this does not is accepted.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from durahub.config.workflow import Duration

API, LOGGING, METRICS, TRACING = "api", "logging", "metrics", "tracing"
METRIC = "metric"
"""Dapr's other name of `metrics`."""

RoleName: TypeAlias = Literal["worker", "read", "operate", "admin"]
LevelName: TypeAlias = Literal["debug", "info", "warn", "warning", "error", "fatal"]

_ALIASES = AliasGenerator(validation_alias=to_camel)


class _DaprSection(BaseModel):
    """A section of Dapr's, in which newer versions of it may have more keys."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, alias_generator=_ALIASES
    )


class _OwnSection(BaseModel):
    """A section of ours, in which an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=_ALIASES
    )


def _checked_protocol(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class ApiRule(_DaprSection):
    """One part of the API, in the list of what is allowed or of what is denied.

    Attributes:
        name: Such as `workflows`, `metadata` or `shutdown`.
        version: Such as `v1.0-beta1` or `v1beta1`; None for all.
        protocol: None for both.
    """

    name: str = Field(min_length=1)
    version: str | None = None
    protocol: Annotated[Literal["http", "grpc"] | None, BeforeValidator(_checked_protocol)] = None


class TokenSection(_OwnSection):
    """A token, and what it is good for.

    Attributes:
        name: Names it in messages and logs.
        token: The secret.
        roles: What it may do.
        workflows: Globs of the names of the workflows that it is for.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    token: SecretStr = Field(min_length=1)
    roles: tuple[RoleName, ...] = Field(min_length=1)
    workflows: tuple[str, ...] = Field(default=("*",), min_length=1)


class ApiSection(_DaprSection):
    """`spec.api`: which parts of the API there are, and for whom.

    Attributes:
        allowed: If there are any, all others are denied.
        denied: Denied even if they are allowed.
        tokens: Ours: tokens beside `DAPR_API_TOKEN`.
    """

    allowed: tuple[ApiRule, ...] = ()
    denied: tuple[ApiRule, ...] = ()
    tokens: tuple[TokenSection, ...] = ()


class ApiLogging(_DaprSection):
    """`spec.logging.apiLogging`: whether calls are logged.

    Attributes:
        enabled: None leaves it to the command line.
        obfuscate_urls: Whether the log names routes instead of paths.
        omit_health_checks: Whether to leave out health.
    """

    enabled: bool | None = None
    obfuscate_urls: bool = Field(default=False, validation_alias="obfuscateURLs")
    omit_health_checks: bool = False


class LoggingSection(_DaprSection):
    """`spec.logging`.

    Attributes:
        level: Ours; the command line wins.
        as_json: Ours; the command line wins.
        api_logging: About calls.
    """

    level: LevelName | None = None
    as_json: bool | None = None
    api_logging: ApiLogging = ApiLogging()


def _checked_rate(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            rate = float(value or 0)
        except ValueError:
            rate = -1
        if 0 <= rate <= 1:
            return rate
    raise PydanticCustomError("durahub_rate", "expected a number from '0' to '1'")


def _checked_headers(value: object) -> object:
    """Return pairs from each way to write headers: `a=1,b=2`, a mapping, or a list of name and value."""
    if isinstance(value, dict):
        return tuple(value.items())
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if all(separator for _, separator, _ in pairs):
            return tuple((name.strip(), text.strip()) for name, _, text in pairs)
    if isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
        return tuple((item["name"], item.get("value", "")) for item in value)
    raise PydanticCustomError("durahub_headers", "expected headers such as 'name=value'")


class ZipkinSection(_DaprSection):
    """`spec.tracing.zipkin`.

    Attributes:
        endpoint_address: Where spans go.
    """

    endpoint_address: str = ""


class OtelSection(_DaprSection):
    """`spec.tracing.otel`.

    Attributes:
        protocol: How spans go there.
        endpoint_address: Where they go.
        is_secure: Whether over TLS.
        headers: Sent along; they may hold secrets.
        timeout: For one batch; None for the library's.
    """

    protocol: Annotated[Literal["grpc", "http"], BeforeValidator(_checked_protocol)] = "grpc"
    endpoint_address: str = ""
    is_secure: bool = True
    headers: Annotated[tuple[tuple[str, SecretStr], ...], BeforeValidator(_checked_headers)] = ()
    timeout: Duration = None


class TracingSection(_DaprSection):
    """`spec.tracing`.

    Attributes:
        sampling_rate: From 0 to 1.
        stdout: Whether spans are printed.
        zipkin: Where they go.
        otel: Where they go.
    """

    sampling_rate: Annotated[float, BeforeValidator(_checked_rate)] = 0.0
    stdout: bool = False
    zipkin: ZipkinSection = ZipkinSection()
    otel: OtelSection = OtelSection()


_Buckets: TypeAlias = tuple[float, ...]


class WorkflowMetrics(_DaprSection):
    """`spec.metrics.workflow`.

    Attributes:
        latency_distribution_buckets: Upper bounds, ascending; empty for the defaults.
        latency_distribution_units: Unit of the bounds.
    """

    latency_distribution_buckets: _Buckets = ()
    latency_distribution_units: str = "ms"

    @field_validator("latency_distribution_buckets")
    @classmethod
    def _ascend(cls, value: _Buckets) -> _Buckets:
        return ascending(value)


class MetricsSection(_DaprSection):
    """`spec.metrics`.

    Attributes:
        enabled: None leaves it to the command line.
        record_error_codes: Whether error codes are counted.
        latency_distribution_buckets: Upper bounds in milliseconds, ascending; empty for the defaults.
        workflow: About workflows.
    """

    enabled: bool | None = None
    record_error_codes: bool = False
    latency_distribution_buckets: _Buckets = ()
    workflow: WorkflowMetrics = WorkflowMetrics()

    @field_validator("latency_distribution_buckets")
    @classmethod
    def _ascend(cls, value: _Buckets) -> _Buckets:
        return ascending(value)


def ascending(buckets: _Buckets) -> _Buckets:
    """Return bounds that ascend from above 0.

    Raises:
        PydanticCustomError: They do not.
    """
    if all(low < high for low, high in zip((0.0, *buckets), buckets, strict=False)):
        return buckets
    raise PydanticCustomError("durahub_buckets", "expected ascending numbers above 0")
