"""Random programs: what clients, workers and operators may do to a task hub, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

IDS = ("a", "b", "c")
EVENTS = ("go", "stop")


@dataclass(frozen=True)
class Start:
    """Start a workflow, perhaps later, perhaps refusing an id that was used before."""

    instance_id: str
    name: str
    delay_s: int | None = None
    unique: bool = False


@dataclass(frozen=True)
class Raise:
    """Raise an event, several times at once."""

    instance_id: str
    name: str
    times: int = 1


@dataclass(frozen=True)
class Suspend:
    instance_id: str


@dataclass(frozen=True)
class Resume:
    instance_id: str


@dataclass(frozen=True)
class Terminate:
    instance_id: str
    recursive: bool


@dataclass(frozen=True)
class Purge:
    instance_id: str
    recursive: bool
    force: bool


@dataclass(frozen=True)
class Rerun:
    """Start an instance over from one of its events, under a new id."""

    instance_id: str
    event_id: int
    new_id: str


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    seconds: int


@dataclass(frozen=True)
class LoseWorker:
    """The worker goes away with what it has not answered, and another one comes."""


@dataclass(frozen=True)
class Restart:
    """The sidecar stops, and another one starts on the same store."""


Step = Start | Raise | Suspend | Resume | Terminate | Purge | Rerun | Wait | LoseWorker | Restart


def programs(names: tuple[str, ...]) -> st.SearchStrategy[list[Step]]:
    """Return programs over workflows of these names."""
    ids = st.sampled_from(IDS)
    truths = st.booleans()
    steps: list[st.SearchStrategy[Step]] = [
        st.builds(Start, ids, st.sampled_from(names), st.none() | st.integers(0, 20), truths),
        st.builds(Start, ids, st.sampled_from(names)),
        st.builds(Raise, ids, st.sampled_from(EVENTS), st.integers(1, 3)),
        st.builds(Suspend, ids),
        st.builds(Resume, ids),
        st.builds(Terminate, ids, truths),
        st.builds(Purge, ids, truths, truths),
        st.builds(Rerun, ids, st.integers(0, 4), st.sampled_from([*IDS, "again"])),
        st.builds(Wait, st.integers(1, 15)),
        st.just(LoseWorker()),
        st.just(Restart()),
    ]
    return st.lists(st.one_of(steps), min_size=1, max_size=12)
