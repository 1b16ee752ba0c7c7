"""The workflows of the random programs: deterministic functions of their histories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from core.tests.engine import making
from core.tests.engine.worker import Turn, Workflow

Actions = Sequence[pb.WorkflowAction]


def sequence(turn: Turn) -> Actions:
    """Two activities, one after the other."""
    done = len(turn.resolved)
    return [making.schedule(done)] if done < 2 else [making.complete("sequence")]


def fan_out(turn: Turn) -> Actions:
    """Three activities at once."""
    if len(turn.resolved) == 3:
        return [making.complete("fan")]
    return [making.schedule(number) for number in range(3)]


def sleeper(turn: Turn) -> Actions:
    """A timer of ten seconds from the start."""
    if turn.resolved:
        return [making.complete("awake")]
    began = from_timestamp_ceil(turn.events[0].timestamp)
    return [making.sleep(0, began + timedelta(seconds=10))]


def listener(turn: Turn) -> Actions:
    """Wait for an event `stop`, and tell how many `go` came before."""
    names = [event.eventRaised.name for event in turn.events if event.HasField("eventRaised")]
    if "stop" in names:
        return [making.complete(str(names.index("stop")))]
    return []


def counter(turn: Turn) -> Actions:
    """Continue as new at each `go`, keeping the rest; end at `stop`."""
    events = [event for event in turn.events if event.HasField("eventRaised")]
    if not events:
        return []
    first, *rest = events
    if first.eventRaised.name == "stop":
        return [making.complete(turn.input)]
    return [making.continue_as_new(str(int(turn.input or "0") + 1), rest)]


def parent(turn: Turn) -> Actions:
    """Two children: one that works and one that sleeps."""
    if len(turn.resolved) == 2:
        kinds = [turn.resolved[number].WhichOneof("eventType") for number in (0, 1)]
        return [making.complete(",".join(map(str, kinds)))]
    return [
        making.child(0, f"{turn.id}/0", "sequence"),
        making.child(1, f"{turn.id}/1", "sleeper"),
    ]


def rival(turn: Turn) -> Actions:
    """A child under an id that others use too."""
    if turn.resolved:
        return [making.complete(str(turn.resolved[0].WhichOneof("eventType")))]
    return [making.child(0, "c", "listener")]


def failing(turn: Turn) -> Actions:
    """Fail after an activity."""
    if not turn.resolved:
        return [making.schedule(0)]
    return [making.complete(status=pb.ORCHESTRATION_STATUS_FAILED)]


FLOWS: dict[str, Workflow] = {
    function.__name__: function
    for function in (sequence, fan_out, sleeper, listener, counter, parent, rival, failing)
}
