"""What every part of the client needs."""

from __future__ import annotations

from durahub.backend import Backend
from durahub.clock import Clock
from durahub.engine.lane import StoreLane
from durahub.engine.routing import misrouting
from durahub.engine.sizes import id_objection
from durahub.engine.watchers import Watchers
from durahub.errors import InstanceStalledError, InvalidRequestError
from durahub.protocol import messages as pb
from durahub.types import AppId, InstanceKey, RuntimeStatus


class ClientPart:
    """Where a client's requests go, and whom they are about."""

    def __init__(
        self, backend: Backend, lane: StoreLane, watchers: Watchers, clock: Clock, app_id: AppId
    ) -> None:
        self._backend = backend
        self._lane = lane
        self._watchers = watchers
        self._clock = clock
        self._app_id = app_id

    def _key(self, request: object) -> InstanceKey:
        instance_id: str = request.instanceId  # type: ignore[attr-defined]  # all of them have one
        refuse(id_objection(instance_id))
        return InstanceKey(self._target(request), instance_id)

    def _target(self, request: object) -> AppId:
        """Return the application that a request is routed to: its own unless it says otherwise.

        Raises:
            InvalidRequestError: Nothing can be sent there.
        """
        router: pb.TaskRouter = request.router  # type: ignore[attr-defined]  # all of them have one
        refuse(misrouting(router, self._app_id))
        return AppId(router.targetAppID) if router.targetAppID else self._app_id


def refuse(objection: str | None) -> None:
    """Return if there is no objection.

    Raises:
        InvalidRequestError: There is one.
    """
    if objection is not None:
        raise InvalidRequestError(objection)


def any_name(_workflow_name: str) -> bool:
    """Return that a workflow may be seen, whatever its name is."""
    return True


def has_started(status: RuntimeStatus) -> bool:
    """Return whether an instance with this status has had a turn."""
    return status is not RuntimeStatus.PENDING


def has_ended(status: RuntimeStatus) -> bool:
    """Return whether an instance with this status can never run again."""
    return status.is_terminal


def refuse_parked(status: RuntimeStatus) -> None:
    """Refuse what an instance with this status can't react to.

    Raises:
        InstanceStalledError: It is parked.
    """
    if status is RuntimeStatus.STALLED:
        raise InstanceStalledError
