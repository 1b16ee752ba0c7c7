"""What can be asked of a sidecar, whichever way it is asked, and which RPC asks for it.

An `Operation` is what rights are given for: one and the same for `TerminateInstance`,
`TerminateWorkflowBeta1` and `POST …/terminate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What somebody who has a token does with a sidecar; a token has one or several."""

    WORKER = "worker"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class Scope(Enum):
    """How the workflows that a token is limited to bear on an operation."""

    SIDECAR = "sidecar"
    """Not at all: it is about no instance."""
    INSTANCE = "instance"
    """The instance has to run one of them."""
    SELECTION = "selection"
    """It is about those of the selected instances that run one of them."""


_ANY = frozenset(Role)
_READ = frozenset({Role.READ, Role.OPERATE, Role.ADMIN})
_OPERATE = frozenset({Role.OPERATE, Role.ADMIN})
_ADMIN = frozenset({Role.ADMIN})
_WORKER = frozenset({Role.WORKER})


class Operation(Enum):
    """One kind of thing that can be asked for.

    Attributes:
        key: Its name in documents and logs.
        purpose: What it does, so that it reads well after "to".
        roles: Each of these may do it.
        scope: How a token's workflows bear on it.
    """

    HEALTH = ("health", "ask whether the sidecar is healthy", _ANY, Scope.SIDECAR)
    HELLO = ("hello", "say hello", _ANY, Scope.SIDECAR)
    DESCRIBE = ("describe", "ask what the API looks like", _ANY, Scope.SIDECAR)
    UNSERVED = ("unserved", "be told that a method is not served", _ANY, Scope.SIDECAR)

    CONNECT_WORKER = ("connect-worker", "receive work items", _WORKER, Scope.SIDECAR)
    COMPLETE = ("complete", "complete work items", _WORKER, Scope.SIDECAR)

    METADATA_READ = ("metadata-read", "read the metadata", _READ, Scope.SIDECAR)
    GET = ("get", "see an instance or wait for it", _READ, Scope.INSTANCE)
    HISTORY = ("history", "read a history", _READ | _WORKER, Scope.INSTANCE)
    LIST = ("list", "list, search or count instances", _READ, Scope.SELECTION)

    START = ("start", "start a workflow", _OPERATE, Scope.INSTANCE)
    RAISE = ("raise", "raise an event", _OPERATE, Scope.INSTANCE)
    SUSPEND = ("suspend", "suspend an instance", _OPERATE, Scope.INSTANCE)
    RESUME = ("resume", "resume an instance", _OPERATE, Scope.INSTANCE)
    TERMINATE = ("terminate", "terminate an instance", _OPERATE, Scope.INSTANCE)
    PURGE = ("purge", "purge an ended instance", _OPERATE, Scope.INSTANCE)
    RERUN = ("rerun", "rerun an instance", _OPERATE, Scope.INSTANCE)
    BULK_SUSPEND = ("bulk-suspend", "suspend all that match", _OPERATE, Scope.SELECTION)
    BULK_RESUME = ("bulk-resume", "resume all that match", _OPERATE, Scope.SELECTION)
    BULK_TERMINATE = ("bulk-terminate", "terminate all that match", _OPERATE, Scope.SELECTION)
    BULK_PURGE = ("bulk-purge", "purge all that match", _OPERATE, Scope.SELECTION)

    FORCE_PURGE = ("force-purge", "purge what has not ended", _ADMIN, Scope.INSTANCE)
    BULK_FORCE_PURGE = (
        "bulk-force-purge",
        "purge all that match, ended or not",
        _ADMIN,
        Scope.SELECTION,
    )
    METADATA_WRITE = ("metadata-write", "change the metadata", _ADMIN, Scope.SIDECAR)
    SHUTDOWN = ("shutdown", "shut the sidecar down", _ADMIN, Scope.SIDECAR)

    def __init__(self, key: str, purpose: str, roles: frozenset[Role], scope: Scope) -> None:
        self.key = key
        self.purpose = purpose
        self.roles = roles
        self.scope = scope

    @property
    def needs_token(self) -> bool:
        """Whether a caller has to be known where there are tokens; only health can be asked by all."""
        return self is not Operation.HEALTH


TASK_HUB_SERVICE = "TaskHubSidecarService"
DAPR_SERVICE = "dapr.proto.runtime.v1.Dapr"

_TASK_HUB_METHODS = {
    "Hello": Operation.HELLO,
    "StartInstance": Operation.START,
    "GetInstance": Operation.GET,
    "WaitForInstanceStart": Operation.GET,
    "WaitForInstanceCompletion": Operation.GET,
    "RaiseEvent": Operation.RAISE,
    "TerminateInstance": Operation.TERMINATE,
    "SuspendInstance": Operation.SUSPEND,
    "ResumeInstance": Operation.RESUME,
    "PurgeInstances": Operation.PURGE,
    "GetWorkItems": Operation.CONNECT_WORKER,
    "CompleteActivityTask": Operation.COMPLETE,
    "CompleteOrchestratorTask": Operation.COMPLETE,
    "CompleteWorkflowTask": Operation.COMPLETE,
    "RerunWorkflowFromEvent": Operation.RERUN,
    "ListInstanceIDs": Operation.LIST,
    "GetInstanceHistory": Operation.HISTORY,
}
_DAPR_WORKFLOW_METHODS = {
    "StartWorkflow": Operation.START,
    "GetWorkflow": Operation.GET,
    "PurgeWorkflow": Operation.PURGE,
    "TerminateWorkflow": Operation.TERMINATE,
    "PauseWorkflow": Operation.SUSPEND,
    "ResumeWorkflow": Operation.RESUME,
    "RaiseEventWorkflow": Operation.RAISE,
}
_DAPR_METHODS = {
    "GetMetadata": Operation.METADATA_READ,
    "SetMetadata": Operation.METADATA_WRITE,
    "Shutdown": Operation.SHUTDOWN,
} | {
    f"{method}{stage}": operation
    for method, operation in _DAPR_WORKFLOW_METHODS.items()
    for stage in ("Alpha1", "Beta1")
}
_OTHER_SERVICES = {
    "/grpc.health.v1.Health/Check": Operation.HEALTH,
    "/grpc.health.v1.Health/List": Operation.HEALTH,
    "/grpc.health.v1.Health/Watch": Operation.HEALTH,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Operation.DESCRIBE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Operation.DESCRIBE,
}

OPERATION_OF_RPC: Mapping[str, Operation] = MappingProxyType(
    {f"/{TASK_HUB_SERVICE}/{name}": operation for name, operation in _TASK_HUB_METHODS.items()}
    | {f"/{DAPR_SERVICE}/{name}": operation for name, operation in _DAPR_METHODS.items()}
    | _OTHER_SERVICES
)
"""Every RPC that has a meaning here, as `/Service/Method`; a request may say more, see `purging`."""


def operation_of(path: str) -> Operation:
    """Return what an RPC, as `/Service/Method`, asks for; UNSERVED if it is none of ours."""
    return OPERATION_OF_RPC.get(path, Operation.UNSERVED)


def purging(*, is_selection: bool, is_forced: bool) -> Operation:
    """Return what a purge asks for: of one instance or all that match, of ended ones or of any."""
    if is_selection:
        return Operation.BULK_FORCE_PURGE if is_forced else Operation.BULK_PURGE
    return Operation.FORCE_PURGE if is_forced else Operation.PURGE
