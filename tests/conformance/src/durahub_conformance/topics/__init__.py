"""The topics: one class of requirements each."""

from durahub_conformance.topics.activities import ActivityRequirements
from durahub_conformance.topics.batches import BatchRequirements
from durahub_conformance.topics.cancellation import CancellationRequirements
from durahub_conformance.topics.claim import ClaimRequirements
from durahub_conformance.topics.crashes import CrashRequirements
from durahub_conformance.topics.create import CreateRequirements
from durahub_conformance.topics.deliver import DeliverRequirements
from durahub_conformance.topics.effects import EffectRequirements
from durahub_conformance.topics.ended import EndedRequirements
from durahub_conformance.topics.engines import EngineRequirements
from durahub_conformance.topics.forwarding import ForwardingRequirements
from durahub_conformance.topics.giveback import ParkRequirements, ReleaseRequirements
from durahub_conformance.topics.hints import HintRequirements
from durahub_conformance.topics.lifecycle import LifecycleRequirements
from durahub_conformance.topics.limits import LimitRequirements
from durahub_conformance.topics.models import ModelRequirements
from durahub_conformance.topics.owners import OwnerRequirements
from durahub_conformance.topics.purge import PurgeRequirements
from durahub_conformance.topics.queries import HistoryRequirements, QueryRequirements
from durahub_conformance.topics.refusals import RefusalRequirements
from durahub_conformance.topics.rooms import RoomRequirements
from durahub_conformance.topics.sessions import SessionRequirements
from durahub_conformance.topics.texts import TextRequirements
from durahub_conformance.topics.timers import TimerRequirements
from durahub_conformance.topics.turns import TurnRequirements
from durahub_conformance.topics.vacancies import VacancyRequirements

TOPICS = (
    LifecycleRequirements,
    SessionRequirements,
    CreateRequirements,
    DeliverRequirements,
    ClaimRequirements,
    TurnRequirements,
    RefusalRequirements,
    EffectRequirements,
    TimerRequirements,
    ActivityRequirements,
    ReleaseRequirements,
    ParkRequirements,
    PurgeRequirements,
    QueryRequirements,
    EndedRequirements,
    HistoryRequirements,
    TextRequirements,
    BatchRequirements,
    RoomRequirements,
    LimitRequirements,
    VacancyRequirements,
    CancellationRequirements,
    CrashRequirements,
    HintRequirements,
    OwnerRequirements,
    ForwardingRequirements,
    EngineRequirements,
    ModelRequirements,
)
