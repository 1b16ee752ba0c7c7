"""Asking for rights that depend on which workflow an instance runs, and refusing in the words of the APIs."""

from __future__ import annotations

from durahub.engine.client import Client
from durahub.errors import InstanceNotFoundError
from durahub.server.access import Caller, Decision, Verdict, authorize
from durahub.server.api_errors import PERMISSION_DENIED, ApiError
from durahub.server.operations import Operation
from durahub.types import InstanceKey


async def authorize_instance(
    client: Client, caller: Caller, operation: Operation, key: InstanceKey
) -> Decision:
    """Return whether a caller may do something with an instance.

    Of a caller that is limited to workflows, it looks up which one the instance runs; for one that does not
    exist its role is enough. If another workflow takes the id after that, it was not asked for.

    Args:
        client: Looks it up.
        caller: Who asks.
        operation: What for.
        key: The instance.
    """
    decision = authorize(caller, operation)
    if not decision.is_allowed or not caller.is_limited:
        return decision
    try:
        view = await client.look(key)
    except InstanceNotFoundError:
        return decision
    return authorize(caller, operation, view.record.name)


def refuse(decision: Decision) -> None:
    """Return if a decision allows.

    Raises:
        ApiError: It does not.
    """
    if decision.verdict is Verdict.UNKNOWN_CALLER:
        raise UnknownCallerError
    if not decision.is_allowed:
        raise ApiError(403, PERMISSION_DENIED, decision.text)


class UnknownCallerError(ApiError):
    """Without a valid token; over HTTP it is answered with Dapr's text, which is no document."""

    def __init__(self) -> None:
        super().__init__(401, "ERR_UNAUTHENTICATED", "invalid api token")
