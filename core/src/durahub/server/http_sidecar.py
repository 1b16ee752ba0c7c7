"""HTTP endpoints about the sidecar itself: health, metadata, shutdown."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from durahub.server.api_errors import ApiError
from durahub.server.http_endpoint import Call, Endpoint
from durahub.server.http_schemas import HealthQuery
from durahub.server.metadata import MAX_ATTRIBUTE_BYTES, Metadata
from durahub.server.operations import Operation
from durahub.server.status import SidecarStatus

_NO_CONTENT = 204


def sidecar_endpoints(status: SidecarStatus, metadata: Metadata) -> Sequence[Endpoint]:
    """Return the endpoints; they work as soon as the sidecar listens.

    Args:
        status: The sidecar; asked anew for every call.
        metadata: What it tells about itself.
    """
    sidecar = _Sidecar(status, metadata)
    return [*sidecar.health_endpoints(), *sidecar.control_endpoints()]


class _Sidecar:
    def __init__(self, status: SidecarStatus, metadata: Metadata) -> None:
        self._status = status
        self._metadata = metadata

    def health_endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint(
                method="GET",
                path="/v1.0/healthz",
                operation=Operation.HEALTH,
                summary="Whether the sidecar is ready",
                handler=self._health,
                query=HealthQuery,
                success={_NO_CONTENT: None},
                errors=(500,),
                needs_engine=False,
            ),
            Endpoint(
                method="GET",
                path="/v1.0/healthz/outbound",
                operation=Operation.HEALTH,
                summary="Whether the sidecar takes calls",
                handler=self._outbound_health,
                success={_NO_CONTENT: None},
                errors=(500,),
                needs_engine=False,
            ),
        ]

    def control_endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint(
                method="GET",
                path="/v1.0/metadata",
                operation=Operation.METADATA_READ,
                summary="What the sidecar tells about itself",
                handler=self._describe,
                success={200: None},
                needs_engine=False,
            ),
            Endpoint(
                method="PUT",
                path="/v1.0/metadata/{key}",
                operation=Operation.METADATA_WRITE,
                summary="Add an attribute to the metadata",
                handler=self._set_attribute,
                text_body="The attribute's value",
                success={_NO_CONTENT: None},
                errors=(400, 413),
                needs_engine=False,
            ),
            Endpoint(
                method="POST",
                path="/v1.0/shutdown",
                operation=Operation.SHUTDOWN,
                summary="Stop the sidecar gracefully",
                handler=self._shutdown,
                success={_NO_CONTENT: None},
                needs_engine=False,
            ),
        ]

    async def _health(self, call: Call) -> Response:
        expected = call.query(HealthQuery).appid
        if expected not in (None, self._status.app_id):
            message = f"this sidecar serves app id {self._status.app_id!r}, not {expected!r}"
            raise ApiError(500, "ERR_HEALTH_APPID_NOT_MATCH", message)
        if not self._status.is_ready:
            raise ApiError(500, "ERR_HEALTH_NOT_READY", "durahub is not ready")
        return Response(status_code=_NO_CONTENT)

    async def _outbound_health(self, _: Call) -> Response:
        if not self._status.is_serving:
            message = "durahub outbound is not ready"
            raise ApiError(500, "ERR_OUTBOUND_HEALTH_NOT_READY", message)
        return Response(status_code=_NO_CONTENT)

    async def _describe(self, _: Call) -> Response:
        return JSONResponse(self._metadata.document())

    async def _set_attribute(self, call: Call) -> Response:
        value = await call.raw_body(MAX_ATTRIBUTE_BYTES)
        self._metadata.put(call.path["key"], value.decode(errors="replace"))
        return Response(status_code=_NO_CONTENT)

    async def _shutdown(self, _: Call) -> Response:
        self._status.request_stop("shutdown requested over HTTP")
        return Response(status_code=_NO_CONTENT)
