"""The OpenAPI document of the HTTP API, made from its endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from durahub.server.http_endpoint import TOKEN_HEADER, Endpoint
from durahub.server.http_schemas import ErrorBody

_REF = "#/components/schemas/{model}"


def openapi_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document; the same for the same endpoints, whatever sidecar they are of."""
    schemas, definitions = models_json_schema(
        list(dict.fromkeys(_models(endpoints))), by_alias=True, ref_template=_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Durahub",
            "version": "1",
            "description": "Dapr's HTTP routes about workflows, and Durahub's own under /durahub/v1.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER}},
        },
    }


def _models(endpoints: Iterable[Endpoint]) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    yield ErrorBody, "serialization"
    for endpoint in endpoints:
        for taken in (endpoint.body, endpoint.query):
            if taken is not None:
                yield taken, "validation"
        for given in endpoint.success.values():
            if given is not None:
                yield given, "serialization"


def _operation(endpoint: Endpoint, schemas: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": {
            str(status): _response(status, schemas[given, "serialization"] if given else None)
            for status, given in endpoint.success.items()
        }
        | _refusals(endpoint, schemas),
    }
    if endpoint.operation.needs_token:
        operation["security"] = [{}, {"token": []}]
    if endpoint.body is not None:
        schema = schemas[endpoint.body, "validation"]
        is_required = bool(endpoint.body.model_json_schema().get("required"))
        operation["requestBody"] = {
            "required": is_required,
            "content": {"application/json": {"schema": schema}},
        }
    elif endpoint.text_body is not None:
        operation["requestBody"] = {
            "description": f"{endpoint.text_body}, as UTF-8 text of any media type",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    return re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_")


def _path_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", endpoint.path):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    if endpoint.query is None:
        return
    # Apart from the components: parameters are many, and each has its own schema.
    schema = endpoint.query.model_json_schema(ref_template=_REF)
    for name, described in schema["properties"].items():
        parameter: dict[str, Any] = {
            "name": name,
            "in": "query",
            "schema": _without_null(described),
        }
        yield parameter


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value in a query, where there is no null."""
    kept = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    choices = [each for each in kept.pop("anyOf", ()) if each != {"type": "null"}]
    return kept | choices[0] if choices else kept


def _response(status: int, schema: dict[str, Any] | None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        response["content"] = {"application/json": {"schema": schema}}
    elif status == HTTPStatus.OK:
        response["content"] = {"application/json": {"schema": {"type": "object"}}}
    return response


def _refusals(endpoint: Endpoint, schemas: Any) -> dict[str, Any]:
    statuses = set(endpoint.errors)
    if endpoint.path.count("{") or endpoint.query is not None:
        statuses.add(400)
    if endpoint.body is not None:
        statuses |= {413, 415}
    if endpoint.needs_engine:
        statuses |= {501, 503}
    if endpoint.operation.needs_token:
        statuses.add(403)
    body = schemas[ErrorBody, "serialization"]
    refusals = {str(status): _response(status, body) for status in sorted(statuses)}
    if endpoint.operation.needs_token:
        refusals["401"] = {
            "description": "Unauthorized",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    return refusals
