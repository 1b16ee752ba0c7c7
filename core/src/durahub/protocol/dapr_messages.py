"""The messages of Dapr's own API: `from durahub.protocol import dapr_messages as dapr`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durahub.protocol.generated import dapr_pb2
from durahub.protocol.generated.dapr_pb2 import (
    ActiveActorsCount,
    ActorRuntime,
    AppConnectionHealthProperties,
    AppConnectionProperties,
    GetMetadataRequest,
    GetMetadataResponse,
    GetWorkflowRequest,
    GetWorkflowResponse,
    MetadataHTTPEndpoint,
    MetadataMCPServer,
    MetadataResiliency,
    MetadataScheduler,
    MetadataWorkflowAccessPolicy,
    MetadataWorkflows,
    PauseWorkflowRequest,
    PubsubSubscription,
    PubsubSubscriptionRule,
    PubsubSubscriptionRules,
    PubsubSubscriptionType,
    PurgeWorkflowRequest,
    RaiseEventWorkflowRequest,
    RegisteredComponents,
    ResumeWorkflowRequest,
    SetMetadataRequest,
    ShutdownRequest,
    StartWorkflowRequest,
    StartWorkflowResponse,
    TerminateWorkflowRequest,
)

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

DAPR_SERVICE: ServiceDescriptor = dapr_pb2.DESCRIPTOR.services_by_name["Dapr"]
"""The RPCs that are served, with their request and response types; for this process only."""

DAPR_SERVICE_NAME = "dapr.proto.runtime.v1.Dapr"
"""How the service is called on the wire."""

__all__ = [
    "DAPR_SERVICE",
    "DAPR_SERVICE_NAME",
    "ActiveActorsCount",
    "ActorRuntime",
    "AppConnectionHealthProperties",
    "AppConnectionProperties",
    "GetMetadataRequest",
    "GetMetadataResponse",
    "GetWorkflowRequest",
    "GetWorkflowResponse",
    "MetadataHTTPEndpoint",
    "MetadataMCPServer",
    "MetadataResiliency",
    "MetadataScheduler",
    "MetadataWorkflowAccessPolicy",
    "MetadataWorkflows",
    "PauseWorkflowRequest",
    "PubsubSubscription",
    "PubsubSubscriptionRule",
    "PubsubSubscriptionRules",
    "PubsubSubscriptionType",
    "PurgeWorkflowRequest",
    "RaiseEventWorkflowRequest",
    "RegisteredComponents",
    "ResumeWorkflowRequest",
    "SetMetadataRequest",
    "ShutdownRequest",
    "StartWorkflowRequest",
    "StartWorkflowResponse",
    "TerminateWorkflowRequest",
]
