"""What a sidecar tells its engine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from durahub.backend import NO_LIMITS, ClaimLimits, Component
from durahub.engine.expiry import KEEP_FOR_EVER, RetentionPolicy
from durahub.types import AppId

UNLIMITED_IN_FLIGHT = 10_000
"""What is in flight at most where the user sets no limit: memory is bounded all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Settings of one engine.

    Attributes:
        app_id: The application that this sidecar serves.
        max_concurrent_workflows: Most turns in flight in this sidecar; None: no limit set.
        max_concurrent_activities: Most activities in flight in this sidecar; None: no limit set.
        limits: How much may be in flight in all sidecars of the application together; needs a backend
            with the capability.
        max_message_bytes: Largest message to a worker; None: unlimited.
        session_time_to_live: After this long without a heartbeat others may take over; None: as the
            backend says.
        safety_poll: How long a lost hint may stay unnoticed.
        worker_grace: How long work waits for a worker in a sidecar that has none, before others may
            have it.
        health_ping: After so long without a work item, a worker that wants to be pinged is.
        in_flight_bytes: Nothing more is claimed while the payloads of what is in flight exceed this.
        cached_history_bytes: Most memory for histories of instances that are not in flight.
        retention: How long ended instances are kept.
        retention_sweep: How long may stay unnoticed what other sidecars end, for retention.
        components: The application's Dapr components, for the backend.
        internal_grpc_port: For the backend, see `BackendServices`.
    """

    app_id: AppId
    max_concurrent_workflows: int | None = None
    max_concurrent_activities: int | None = None
    limits: ClaimLimits = NO_LIMITS
    max_message_bytes: int | None = 4 * 1024 * 1024
    session_time_to_live: timedelta | None = None
    safety_poll: timedelta = timedelta(seconds=5)
    worker_grace: timedelta = timedelta(seconds=2)
    health_ping: timedelta = timedelta(seconds=30)
    in_flight_bytes: int = 64 * 1024 * 1024
    cached_history_bytes: int = 64 * 1024 * 1024
    retention: RetentionPolicy = KEEP_FOR_EVER
    retention_sweep: timedelta = timedelta(seconds=60)
    components: tuple[Component, ...] = ()
    internal_grpc_port: int = 0
