"""What a sidecar tells about itself, over HTTP and gRPC, and the attributes that tools add to it."""

from __future__ import annotations

from collections.abc import Mapping

from durahub.edition import format_decisions
from durahub.protocol import dapr_messages as dapr
from durahub.server.api_errors import ApiError
from durahub.server.status import SidecarStatus

MAX_ATTRIBUTE_BYTES = 64 * 1024
"""Largest name and value of one attribute together."""
MAX_ATTRIBUTES = 100
"""Attributes that clients may add; tools add a handful."""


class Metadata:
    """Describes one sidecar. Attributes are as old as the process; they are not stored."""

    def __init__(self, status: SidecarStatus) -> None:
        """Describe a sidecar, which is asked anew each time."""
        self._status = status
        self._attributes: dict[str, str] = {}

    def put(self, key: str, value: str) -> None:
        """Add or replace an attribute.

        Raises:
            ApiError: It has no name, is too large, or there are too many.
        """
        if not key:
            raise ApiError(400, "ERR_METADATA_KEY_MISSING", "the attribute has no name")
        size = len(key.encode()) + len(value.encode())
        if size > MAX_ATTRIBUTE_BYTES:
            raise ApiError(
                400,
                "ERR_METADATA_TOO_LARGE",
                f"an attribute may have {MAX_ATTRIBUTE_BYTES} bytes, this one has {size}",
            )
        if key not in self._attributes and len(self._attributes) >= MAX_ATTRIBUTES:
            message = f"there are {MAX_ATTRIBUTES} attributes already"
            raise ApiError(400, "ERR_METADATA_TOO_MANY", message)
        self._attributes[key] = value

    def document(self) -> dict[str, object]:
        """Return Dapr's document, with a part of our own under `durahub`."""
        status, identity = self._status, self._status.identity
        return {
            "id": status.app_id,
            "runtimeVersion": identity.version,
            "enabledFeatures": [],
            "actors": [],
            "components": [],
            "extended": self._extended(),
            "subscriptions": [],
            "httpEndpoints": [],
            "appConnectionProperties": {},
            "actorRuntime": {
                "runtimeStatus": "RUNNING" if status.is_serving else "INITIALIZING",
                "activeActors": [],
                "hostReady": status.is_ready,
                "placement": "",
            },
            "scheduler": {"connected_addresses": []},
            "workflows": {"connectedWorkers": status.connected_workers},
            "workflowAccessPolicies": [],
            "mcpServers": [],
            "durahub": {
                "edition": identity.edition,
                "version": identity.version,
                "backend": {
                    "type": identity.backend_type,
                    "distribution": identity.backend_distribution,
                    "version": identity.backend_version,
                },
                "decisions": dict(identity.decisions),
                "parked": dict(status.parked),
            },
        }

    def message(self) -> dapr.GetMetadataResponse:
        """Return Dapr's message; what it has no field for is among the extended metadata."""
        status, identity = self._status, self._status.identity
        state = dapr.ActorRuntime
        runtime = dapr.ActorRuntime(
            runtime_status=state.RUNNING if status.is_serving else state.INITIALIZING,
            host_ready=status.is_ready,
        )
        backend = {
            "durahub.edition": identity.edition,
            "durahub.backend.type": identity.backend_type,
            "durahub.backend.distribution": identity.backend_distribution,
            "durahub.backend.version": identity.backend_version,
            "durahub.backends.decisions": format_decisions(identity.decisions),
        }
        return dapr.GetMetadataResponse(
            id=status.app_id,
            runtime_version=identity.version,
            extended_metadata=backend | self._extended(),
            actor_runtime=runtime,
            app_connection_properties=dapr.AppConnectionProperties(),
            scheduler=dapr.MetadataScheduler(),
            workflows=dapr.MetadataWorkflows(connected_workers=status.connected_workers),
        )

    def _extended(self) -> dict[str, str]:
        extended: Mapping[str, str] = {"daprRuntimeVersion": self._status.identity.version}
        return {**extended, **self._attributes}
