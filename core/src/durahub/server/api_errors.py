"""Refusals of the sidecar's APIs: one error, said over HTTP as a document and over gRPC as a status."""

from __future__ import annotations

from durahub.errors import (
    BackendUnavailableError,
    CapabilityNotSupportedError,
    DurahubError,
    InstanceExistsError,
    InstanceNotCompletedError,
    InstanceNotFoundError,
    InstanceStalledError,
    InvalidRequestError,
    RerunTargetError,
    ShuttingDownError,
)
from durahub.server.rpc import RpcError, StatusCode

_RPC_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ALREADY_EXISTS,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
}

MALFORMED = "ERR_MALFORMED_REQUEST"
INSTANCE_NOT_FOUND = "ERR_INSTANCE_ID_NOT_FOUND"
UNAVAILABLE = "ERR_UNAVAILABLE"
NOT_SUPPORTED = "ERR_NOT_SUPPORTED"
PERMISSION_DENIED = "ERR_PERMISSION_DENIED"


class ApiError(Exception):
    """Ends a request of an API; the client sees all three attributes.

    Attributes:
        status: The HTTP status.
        error_code: Stable name of the kind of error, for machines.
        message: For people, and for clients that match texts.
    """

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(f"{error_code}: {message}")
        self.status = status
        self.error_code = error_code
        self.message = message

    def to_rpc(self) -> RpcError:
        """Return the same refusal as a status of gRPC."""
        return RpcError(_RPC_CODES[self.status], self.message)


_PLAIN: tuple[tuple[type[DurahubError], int, str], ...] = (
    (InstanceNotFoundError, 404, INSTANCE_NOT_FOUND),
    (RerunTargetError, 404, "ERR_RERUN_TARGET"),
    (InstanceExistsError, 409, "ERR_INSTANCE_EXISTS"),
    (InstanceNotCompletedError, 409, "ERR_INSTANCE_NOT_COMPLETED"),
    (InstanceStalledError, 409, "ERR_INSTANCE_STALLED"),
    (InvalidRequestError, 400, MALFORMED),
    (CapabilityNotSupportedError, 501, NOT_SUPPORTED),
    (BackendUnavailableError, 503, UNAVAILABLE),
    (ShuttingDownError, 503, UNAVAILABLE),
)


def plain_error(error: DurahubError) -> ApiError | None:
    """Return what an error of the engine means to a client; None if it is no client's business."""
    for kind, status, error_code in _PLAIN:
        if isinstance(error, kind):
            return ApiError(status, error_code, str(error))
    return None
