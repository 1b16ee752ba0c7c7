"""Where a request, an action or an event may be routed to. Pure."""

from __future__ import annotations

from durahub.engine.sizes import app_objection
from durahub.protocol import messages as pb

_PUNCTUATION = frozenset("-_")


def misrouting(router: pb.TaskRouter, own_app: str) -> str | None:
    """Return why nothing can be sent where a router says; None if it can, or if it names no place.

    An application is in the same task hub, or can't be reached; that there is none of this name (yet) is
    no objection.

    Args:
        router: From whoever asks.
        own_app: The application that it is asked from, which may have any id.
    """
    app_id, namespace = router.targetAppID, router.targetAppNamespace
    objection = app_objection(app_id) or app_objection(namespace)
    if objection is not None:
        return objection
    if namespace and not app_id:
        return "a target app namespace requires a target app ID"
    if namespace:
        return (
            f"a task hub has no namespaces: app ID '{app_id}' in namespace '{namespace}' can't be reached; "
            "leave the namespace out for an application of the same task hub"
        )
    if app_id in ("", own_app) or all(one.isalnum() or one in _PUNCTUATION for one in app_id):
        return None
    return f"invalid app ID '{app_id}': it may contain only letters, digits, '-' and '_'"


def misrouted_failure(objection: str) -> pb.TaskFailureDetails:
    """Return why something failed that a workflow wanted elsewhere; trying again does not help."""
    return pb.TaskFailureDetails(
        errorType="WorkflowTargetInvalid", errorMessage=objection, isNonRetriable=True
    )
