"""The laws of state stores, by topic."""

from durahub_conformance.state_stores.topics.concurrency import ConcurrencyLaws
from durahub_conformance.state_stores.topics.leases import LeaseLaws
from durahub_conformance.state_stores.topics.lifecycle import LifecycleLaws
from durahub_conformance.state_stores.topics.models import ModelLaws
from durahub_conformance.state_stores.topics.reads import ReadLaws
from durahub_conformance.state_stores.topics.reminders import ReminderLaws
from durahub_conformance.state_stores.topics.saves import SaveLaws
from durahub_conformance.state_stores.topics.texts import TextLaws

TOPICS = (
    ConcurrencyLaws,
    LeaseLaws,
    LifecycleLaws,
    ModelLaws,
    ReadLaws,
    ReminderLaws,
    SaveLaws,
    TextLaws,
)

__all__ = ["TOPICS"]
