"""What an HTTP endpoint is: where it is, who may use it, what it takes and gives, and how it is called.

Routes, the OpenAPI document and access control all come from the same endpoints.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from durahub.engine.client import Client
from durahub.errors import DurahubError
from durahub.server.access import NOBODY, AccessControl, Caller, authorize
from durahub.server.admission import authorize_instance, refuse
from durahub.server.api_errors import (
    MALFORMED,
    UNAVAILABLE,
    ApiError,
    plain_error,
)
from durahub.server.operations import Operation
from durahub.types import InstanceKey

log = logging.getLogger("durahub.server.http")

TOKEN_HEADER = "dapr-api-token"  # noqa: S105 - a header's name

ModelT = TypeVar("ModelT", bound=BaseModel)


Handler: TypeAlias = "Callable[[Call], Awaitable[Response]]"
"""Carries a call out.

Raises:
    ApiError: The call is refused.
    DurahubError: It is refused by the engine, or could not be carried out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path.

    Attributes:
        method: The HTTP method.
        path: With parameters in braces; each of them is one percent-encoded segment.
        operation: What it asks for; decides who may.
        summary: One sentence, for the OpenAPI document.
        handler: Carries a call out.
        query: The query parameters; None: whatever there is is ignored.
        body: The JSON body; None: see `text_body`.
        text_body: What the body is if it is no JSON; None: it is ignored.
        success: The statuses of success, each with the JSON that comes with it; None for no body.
        errors: The statuses of refusals beside those that every endpoint has.
        needs_engine: Whether it works only while the sidecar serves.
    """

    method: str
    path: str
    operation: Operation
    summary: str
    handler: Handler
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    text_body: str | None = None
    success: Mapping[int, type[BaseModel] | None]
    errors: Sequence[int] = ()
    needs_engine: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What calls need to know of the sidecar.

    Attributes:
        access: Who may do what.
        client: The engine's client; used while the sidecar serves.
        is_serving: Whether it does.
        max_body_bytes: Largest body; None for no limit.
    """

    access: AccessControl
    client: Client
    is_serving: Callable[[], bool]
    max_body_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an endpoint, by somebody who may use it.

    Attributes:
        endpoint: What is called.
        surroundings: The sidecar.
        caller: Who calls.
        path: The path's parameters, decoded.
    """

    endpoint: Endpoint
    surroundings: Surroundings
    caller: Caller
    path: Mapping[str, str]
    _request: Request = field(repr=False)

    def query(self, model: type[ModelT]) -> ModelT:
        """Return the query parameters.

        Raises:
            ApiError: They are not what the endpoint takes.
        """
        given: dict[str, Any] = {}
        for name, value in self._request.query_params.multi_items():
            given.setdefault(name, []).append(value)
        several = model.model_json_schema()["properties"]
        for name, values in given.items():
            if several.get(name, {}).get("type") != "array":
                if len(values) > 1:
                    raise ApiError(400, MALFORMED, f"{name}: given more than once")
                given[name] = values[0]
        return _validated(lambda: model.model_validate(given))

    async def body(self, model: type[ModelT]) -> ModelT:
        """Return the JSON body; no body at all counts as an empty object.

        Raises:
            ApiError: It is too large, no JSON, or not what the endpoint takes.
        """
        raw = await self.raw_body()
        if not raw:
            return _validated(lambda: model.model_validate({}))
        media_type = self._request.headers.get("content-type", "").partition(";")[0].strip()
        if media_type.lower() != "application/json":
            message = f"the body has to be application/json, not {media_type or 'without a type'!r}"
            raise ApiError(415, "ERR_UNSUPPORTED_MEDIA_TYPE", message)
        return _validated(lambda: model.model_validate_json(raw, strict=True))

    async def raw_body(self, limit: int | None = None) -> bytes:
        """Return the body as it is.

        Args:
            limit: Most bytes, if that is less than the sidecar's limit.

        Raises:
            ApiError: It is too large.
        """
        limits = [bound for bound in (limit, self.surroundings.max_body_bytes) if bound is not None]
        body = bytearray()
        async for chunk in self._request.stream():
            body += chunk
            if limits and len(body) > min(limits):
                message = f"the body is larger than {min(limits)} bytes"
                raise ApiError(413, "ERR_BODY_TOO_LARGE", message)
        return bytes(body)

    def admit(self, workflow_name: str, operation: Operation | None = None) -> None:
        """Refuse a caller who may not have to do with a workflow.

        Args:
            workflow_name: The workflow.
            operation: What for, if that is not the endpoint's operation.

        Raises:
            ApiError: It may not.
        """
        refuse(authorize(self.caller, operation or self.endpoint.operation, workflow_name))

    async def admit_instance(self, key: InstanceKey, operation: Operation | None = None) -> None:
        """Refuse a caller who may not have to do with the workflow of an instance; one that is missing passes.

        Args:
            key: The instance.
            operation: What for, if that is not the endpoint's operation.

        Raises:
            ApiError: It may not.
        """
        wanted = operation or self.endpoint.operation
        refuse(await authorize_instance(self.surroundings.client, self.caller, wanted, key))


def document(model: BaseModel, *, status: int = 200) -> Response:
    """Return a response with a model as its JSON."""
    return Response(
        model.model_dump_json(by_alias=True), status_code=status, media_type="application/json"
    )


async def answer(
    endpoint: Endpoint, surroundings: Surroundings, request: Request, path: Mapping[str, str]
) -> Response:
    """Carry out a call.

    Args:
        endpoint: What is called.
        surroundings: The sidecar.
        request: The call.
        path: The path's parameters as they were sent.

    Raises:
        ApiError: It is refused.
    """
    caller = surroundings.access.identify(request.headers.get(TOKEN_HEADER))
    refuse(authorize(caller, endpoint.operation))
    if endpoint.needs_engine and not surroundings.is_serving():
        raise ApiError(503, UNAVAILABLE, "the sidecar is starting or stopping")
    call = Call(
        endpoint=endpoint,
        surroundings=surroundings,
        caller=caller or NOBODY,
        path={name: _decoded(value) for name, value in path.items()},
        _request=request,
    )
    try:
        return await endpoint.handler(call)
    except DurahubError as error:
        refusal = plain_error(error)
        if refusal is None:
            raise
        raise refusal from error


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise ApiError(400, MALFORMED, "the path is not percent-encoded UTF-8") from None


def _validated(validate: Callable[[], ModelT]) -> ModelT:
    try:
        return validate()
    except ValidationError as error:
        raise ApiError(400, MALFORMED, _first_words(error)) from None


_SHOWN_ERRORS = 5


def _first_words(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    texts = [
        ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
        for each in found[:_SHOWN_ERRORS]
    ]
    more = len(found) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")
