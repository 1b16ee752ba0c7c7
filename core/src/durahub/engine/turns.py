"""Runs the turns of claimed instances: plan, ask a worker, decide, commit."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from durahub.backend import (
    Backend,
    ChildrenExist,
    ClaimedInstance,
    CommitTurn,
    InstanceRecord,
    ParkInstance,
    Released,
    ReleaseInstance,
    TurnCommitted,
)
from durahub.clock import Clock
from durahub.engine.adoption import adopt
from durahub.engine.conflicts import resolve_occupied
from durahub.engine.decision import (
    Stall,
    TurnOutcome,
    decide,
    force_termination,
    settle_idle,
    terminations,
)
from durahub.engine.descendants import live_below
from durahub.engine.dispatch import Dispatcher, NoWorkerError
from durahub.engine.draft import InvalidResponseError, TurnContext
from durahub.engine.events import execution_stalled
from durahub.engine.frames import oversize, oversize_activity, turn_frame
from durahub.engine.lane import StoreLane
from durahub.engine.occupied import replaceable_revision
from durahub.engine.options import EngineOptions
from durahub.engine.parking import ParkingKind, Parkings, kind_of_stall
from durahub.engine.residents import InstanceLostError, Resident, Residents
from durahub.engine.retention import Retention
from durahub.engine.stalled import Retrials
from durahub.engine.state import RequestIdentity
from durahub.engine.streams import ItemName
from durahub.engine.turn import TurnPlan, plan_turn
from durahub.engine.watchers import Watchers
from durahub.errors import BackendCorruptionError, BackendError
from durahub.protocol import messages as pb
from durahub.types import InstanceKey, RuntimeStatus

log = logging.getLogger("durahub.engine.turns")

MAX_CONFLICT_ROUNDS = 10
"""How often a turn's children may be answered anew, while others create and end under the same ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnServices:
    """What running turns needs of the engine.

    Attributes:
        backend: Read only.
        lane: Where turns are committed.
        dispatcher: Where workers are asked.
        residents: Histories at hand.
        watchers: Whom to tell.
        retrials: Gives parked instances another try.
        retention: Removes what has ended.
        parkings: Counts the parked.
        clock: Time of events.
        options: Settings.
    """

    backend: Backend
    lane: StoreLane
    dispatcher: Dispatcher
    residents: Residents
    watchers: Watchers
    retrials: Retrials
    retention: Retention
    parkings: Parkings
    clock: Clock
    options: EngineOptions


class TurnRunner:
    """Runs one turn of one claimed instance from beginning to end.

    An instance that can't go on is parked with a reason. It never spins and never stops another.
    """

    def __init__(self, services: TurnServices) -> None:
        self._services = services

    async def run(self, claimed: ClaimedInstance) -> None:
        """Run a turn and give the instance back.

        Cancelled, nothing is committed, or the commit is already on its way.

        Raises:
            BackendError: The store could not be read or refused to write; the instance is still owned.
        """
        try:
            resident = await self._services.residents.take(claimed)
            adopted = adopt(claimed, self._context(claimed.record.key))
            if adopted is not None:
                await self._adopt(claimed, resident, adopted)
                return
            now = self._services.clock.now()
            plan = plan_turn(resident.state, claimed, now, committed=resident.history)
            await self._execute(plan, resident)
        except InstanceLostError:
            _warn_of_loss(claimed.record.key)
        except NoWorkerError:
            await self._services.lane.write(ReleaseInstance(key=claimed.record.key))
        except InvalidResponseError as error:
            await self._park(claimed.record, ParkingKind.SENSELESS_ANSWER, _reason(error))
        except (DecodeError, BackendCorruptionError) as error:
            await self._park(claimed.record, ParkingKind.DAMAGED, _reason(error))

    async def _adopt(
        self, claimed: ClaimedInstance, resident: Resident, outcome: TurnOutcome
    ) -> None:
        limit_bytes = self._services.options.max_message_bytes
        too_large = oversize_activity(outcome.commit, limit_bytes)
        if too_large is not None:
            await self._park(claimed.record, kind_of_stall(too_large.kind), too_large.reason)
            return
        await self._finish(claimed, resident, outcome)

    async def _park(
        self,
        record: InstanceRecord,
        kind: ParkingKind,
        reason: str,
        history: tuple[bytes, ...] = (),
    ) -> None:
        """Give an instance back that can't go on, with the reason for people and for its history."""
        now = self._services.clock.now()
        self._services.retrials.note(record, len(history))
        result = await self._services.lane.write(
            ParkInstance(key=record.key, reason=reason, updated_at=now, history=history)
        )
        facts = {"instance_id": record.key.instance_id, "workflow": record.name, "reason": reason}
        if not isinstance(result, Released):
            log.warning("instance to be parked belongs to somebody else by now", extra=facts)
            return
        if record.parked_reason == reason:
            log.warning("instance stays parked", extra=facts)
        else:
            count = self._services.parkings.note(kind)
            log.error("instance parked", extra={**facts, "kind": kind.value, "of_this_kind": count})
        stalled = replace(record, status=RuntimeStatus.STALLED)
        self._services.watchers.tell(record.key, stalled)

    async def _stall(self, plan: TurnPlan, stall: Stall) -> None:
        """Park an instance, and say so in its history, once for each reason."""
        history: tuple[bytes, ...] = ()
        if stall.reason not in plan.state.stalls:
            event = execution_stalled(self._services.clock.now(), stall.kind, stall.reason)
            history = (event.SerializeToString(),)
        kind = kind_of_stall(stall.kind)
        await self._park(plan.claimed.record, kind, stall.reason, history)

    async def _execute(self, plan: TurnPlan, resident: Resident) -> None:
        outcome = await self._outcome(plan, resident)
        if isinstance(outcome, Stall):
            await self._stall(plan, outcome)
            if self._may_be_done_by_others(outcome.refused_by):
                # Somebody came too late for this turn, and too early to find it parked.
                self._services.retrials.try_again(plan.claimed.record.key)
            return
        outcome = await self._reach_below_ended(plan, outcome)
        await self._finish(plan.claimed, resident, outcome, plan.admission.requests)

    async def _finish(
        self,
        claimed: ClaimedInstance,
        resident: Resident,
        outcome: TurnOutcome,
        taken: Collection[RequestIdentity] = (),
    ) -> None:
        instance_id = claimed.record.key.instance_id
        for line in outcome.log:
            log.info("dropping event", extra={"instance_id": instance_id, "event": line})
        result = await self._commit(outcome)
        if outcome.commit.completed_at is not None:
            # Whatever the result: after an answer that never came the end may be durable all the same.
            self._services.retention.expect(outcome.commit.status, outcome.commit.completed_at)
        if not isinstance(result, TurnCommitted):
            _warn_of_loss(outcome.commit.key)
            await self._tell_after_refusal(outcome.commit, taken)
            return
        record = replace(claimed.record, status=outcome.commit.status, revision=result.revision)
        self._keep(record, resident, outcome)
        self._services.watchers.tell(record.key, record, taken=taken)

    async def _tell_after_refusal(
        self, commit: CommitTurn, taken: Collection[RequestIdentity]
    ) -> None:
        """Tell waiting calls how an instance stands whose commit was refused.

        It may have been refused because it had taken effect before, and the answer was lost: then nobody
        else tells of it.
        """
        (view,) = await self._services.backend.get([commit.key])
        record = None if view is None else view.record
        is_ours = (
            record is not None
            and record.revision == commit.revision + 1
            and record.last_updated_at == commit.updated_at
        )
        self._services.watchers.tell(commit.key, record, taken=taken if is_ours else ())

    async def _outcome(self, plan: TurnPlan, resident: Resident) -> TurnOutcome | Stall:
        context = self._context(plan.claimed.record.key)
        if plan.is_idle:
            return settle_idle(plan, await self._custom_status(plan), context)
        if plan.ends_before_start:
            return force_termination(plan, pb.WorkflowResponse(), context)
        too_large = oversize(plan, resident, self._services.options.max_message_bytes)
        if too_large is not None:
            return too_large
        outcome = await self._ask_workers(plan, resident)
        if isinstance(outcome, Stall):
            return outcome
        too_large = oversize_activity(outcome.commit, self._services.options.max_message_bytes)
        return too_large or outcome

    async def _ask_workers(self, plan: TurnPlan, resident: Resident) -> TurnOutcome | Stall:
        """Ask one worker after the other until one has the version that the instance runs on."""
        dispatcher = self._services.dispatcher
        frame = turn_frame(plan, resident)
        refused_by: frozenset[int] = frozenset()
        while True:
            response, item = await dispatcher.ask(ItemName(_id(plan), None), frame, refused_by)
            dispatcher.settle(item)
            assert isinstance(response, pb.WorkflowResponse)
            outcome = decide(plan, response, self._context(plan.claimed.record.key))
            if not isinstance(outcome, Stall):
                return outcome
            refused_by |= {item.asked}
            if not self._may_be_done_by_others(refused_by):
                return replace(outcome, refused_by=refused_by)

    def _may_be_done_by_others(self, refused_by: frozenset[int]) -> bool:
        return bool(refused_by) and self._services.dispatcher.has_worker_beside(refused_by)

    async def _reach_below_ended(self, plan: TurnPlan, outcome: TurnOutcome) -> TurnOutcome:
        """Let a recursive termination reach what lives below children that have ended."""
        request = plan.admission.terminate
        if request is None or not request.recurse or not outcome.commit.status.is_terminal:
            return outcome
        ended = [child for child in plan.state.children if child.wait not in plan.state.open]
        live = await live_below(self._services.backend, outcome.commit.key, ended)
        receivers = [found.record.key for found in live]
        told = {deliver.key for deliver in outcome.commit.outgoing}
        more = terminations(
            [key for key in receivers if key not in told],
            request,
            self._context(plan.claimed.record.key),
        )
        commit = replace(outcome.commit, outgoing=(*outcome.commit.outgoing, *more))
        return replace(outcome, commit=commit)

    async def _commit(self, outcome: TurnOutcome) -> object:
        """Commit, answering for children whose ids are occupied until the store takes it."""
        for _ in range(MAX_CONFLICT_ROUNDS):
            result = await self._services.lane.write(outcome.commit)
            if not isinstance(result, ChildrenExist):
                return result
            verdicts = {
                existing.key: await replaceable_revision(self._services.backend, existing)
                for existing in result.existing
            }
            outcome = resolve_occupied(outcome, verdicts, self._context(outcome.commit.key))
        raise BackendError(
            f"the children of instance {outcome.commit.key.instance_id!r} could not be created: "
            "their ids kept changing hands"
        )

    def _keep(self, record: InstanceRecord, resident: Resident, outcome: TurnOutcome) -> None:
        """Keep what the next turn needs, if there will be one with this history."""
        commit = outcome.commit
        if record.status.is_terminal:
            instance_id = record.key.instance_id
            self._services.dispatcher.forget_history(instance_id)
            log.info(
                "%s: '%s' completed with a %s status.", instance_id, record.name, record.status.name
            )
        elif commit.next_generation is None:
            resident.absorb(record.revision, commit.history, outcome.history)
            due_at = resident.state.next_due_at()
            self._services.residents.put(commit.key, resident)
            if due_at is not None:
                self._services.lane.expect(due_at)

    async def _custom_status(self, plan: TurnPlan) -> str | None:
        (view,) = await self._services.backend.get([plan.claimed.record.key], payloads=True)
        return view.payloads.custom_status if view and view.payloads else None

    def _context(self, key: InstanceKey) -> TurnContext:
        return TurnContext(key.app_id, self._services.clock.now(), _new_id)


def _warn_of_loss(key: InstanceKey) -> None:
    log.warning("turn lost its instance", extra={"instance_id": key.instance_id})


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _new_id() -> str:
    return str(uuid.uuid4())


def _id(plan: TurnPlan) -> str:
    return plan.claimed.record.key.instance_id
