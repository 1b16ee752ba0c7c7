"""Limits over all sidecars of an application together."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from durahub.backend import ClaimLimit, ClaimLimits
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.apps import app, apps
from tests.parity.flows import Context, all_of, decide
from tests.parity.hub import APP, Hub, Sidecar

MANY = 12


class Meter:
    """Runs activities and turns in all sidecars, counts them, and lets them end when they are let go.

    Attributes:
        running: How many run now, by name.
        peaks: Most that ran at the same time, by name; of all under the empty name.
        gates: By name, what they wait for.
    """

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def activity(self, request: pb.ActivityRequest) -> str | None:
        await self._run(request.name)
        return request.input.value

    async def turn(self, request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        events = [*request.pastEvents, *request.newEvents]
        name = next(e.executionStarted.name for e in events if e.HasField("executionStarted"))
        if name in FLOWS:
            return decide(request, list(request.pastEvents), FLOWS)
        await self._run(name)
        return decide(request, [], {name: lambda ctx: ctx.input})

    async def _run(self, name: str) -> None:
        self.running[name] += 1
        self.peaks[name] = max(self.peaks[name], self.running[name])
        self.peaks[""] = max(self.peaks[""], self.running.total())
        await self.gates[name].wait()
        self.running[name] -= 1

    async def reaches(self, **running: int) -> None:
        """Return when so many run of each name, and see that no more do."""
        await until(lambda: all(self.running[name] == n for name, n in running.items()), 20)
        await asyncio.sleep(0.05)
        assert {name: self.running[name] for name in running} == running

    def open(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()


def activities(ctx: Context):
    """Run activities of two names, `MANY` of each."""
    calls = [ctx.activity(name, str(n)) for n in range(MANY) for name in ("slow", "fast")]
    return " ".join((yield all_of(*calls)))


def children(ctx: Context):
    """Run children of two names, `MANY` of each."""
    calls = [ctx.child(name, str(n)) for n in range(MANY) for name in ("slow", "fast")]
    return " ".join((yield all_of(*calls)))


FLOWS = {"Activities": activities, "Children": children}
RESULT = " ".join(str(n) for n in range(MANY) for _ in range(2))


@asynccontextmanager
async def limited(
    hub: Hub, limits: ClaimLimits | None, count: int = 3
) -> AsyncIterator[tuple[list[Sidecar], Meter]]:
    """Run sidecars of one application, each with a worker, that share limits."""
    meter = Meter()
    options = {} if limits is None else {"limits": limits}
    async with AsyncExitStack() as stack:
        sidecars = await stack.enter_async_context(apps(hub, *[APP] * count, **options))
        for sidecar in sidecars:
            worker = sidecar.worker(None, meter.activity, raw=meter.turn)
            await stack.enter_async_context(worker)
        yield sidecars, meter


Check = Callable[[Sidecar, Meter], Awaitable[None]]


async def start(sidecar: Sidecar, name: str) -> None:
    await sidecar.client.start(name, "a")


async def ends(sidecar: Sidecar, meter: Meter) -> None:
    """Let everything end, and see that everything was done."""
    meter.open("slow", "fast")
    assert await sidecar.client.output("a") == RESULT


async def five_activities(sidecar: Sidecar, meter: Meter) -> None:
    await start(sidecar, "Activities")
    await until(lambda: meter.running.total() == 5, 20)
    await asyncio.sleep(0.05)
    await ends(sidecar, meter)
    assert meter.peaks[""] == 5


async def five_turns(sidecar: Sidecar, meter: Meter) -> None:
    await start(sidecar, "Children")
    await until(lambda: meter.running.total() == 5, 20)
    await asyncio.sleep(0.05)
    await ends(sidecar, meter)
    assert meter.peaks[""] == 5


async def two_slow_activities(sidecar: Sidecar, meter: Meter) -> None:
    await start(sidecar, "Activities")
    await meter.reaches(slow=2, fast=MANY)
    await ends(sidecar, meter)
    assert meter.peaks["slow"] == 2


async def two_slow_turns(sidecar: Sidecar, meter: Meter) -> None:
    await start(sidecar, "Children")
    await meter.reaches(slow=2, fast=MANY)
    await ends(sidecar, meter)
    assert meter.peaks["slow"] == 2


async def one_slow_of_four_activities(sidecar: Sidecar, meter: Meter) -> None:
    await start(sidecar, "Activities")
    await meter.reaches(slow=1, fast=3)
    await ends(sidecar, meter)
    assert (meter.peaks["slow"], meter.peaks[""]) == (1, 4)


def total(number: int) -> ClaimLimit:
    return ClaimLimit(total=number)


def named(number: int) -> ClaimLimit:
    return ClaimLimit(by_name={"slow": number})


def case(line: str, limits: ClaimLimits, check: Check) -> object:
    return pytest.param(limits, check, id=line, marks=pytest.mark.parity(f"globallimits/{line}"))


@pytest.mark.needs("multi_process")
@pytest.mark.needs("limits")
@pytest.mark.parametrize(
    ("limits", "check"),
    [
        case("activity", ClaimLimits(activities=total(5)), five_activities),
        case("instance", ClaimLimits(instances=total(5)), five_turns),
        case("namedactivity", ClaimLimits(activities=named(2)), two_slow_activities),
        case("namedworkflow", ClaimLimits(instances=named(2)), two_slow_turns),
        case(
            "combined",
            ClaimLimits(activities=ClaimLimit(total=4, by_name={"slow": 1})),
            one_slow_of_four_activities,
        ),
    ],
)
async def test_limits_hold_over_three_sidecars(hub: Hub, limits: ClaimLimits, check: Check) -> None:
    async with limited(hub, limits) as (sidecars, meter):
        await check(sidecars[0], meter)


@pytest.mark.needs("limits")
@pytest.mark.parity("globallimits/single")
@pytest.mark.parametrize("check", [five_activities, five_turns])
async def test_limits_hold_in_one_sidecar(hub: Hub, check: Check) -> None:
    limits = ClaimLimits(activities=total(5), instances=total(5))
    async with limited(hub, limits, count=1) as (sidecars, meter):
        await check(sidecars[0], meter)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("globallimits/nolimit")
@pytest.mark.parametrize("name", FLOWS)
async def test_everything_runs_at_once_without_limits(hub: Hub, name: str) -> None:
    async with limited(hub, None) as (sidecars, meter):
        await start(sidecars[0], name)
        await meter.reaches(slow=MANY, fast=MANY)
        await ends(sidecars[0], meter)


@pytest.mark.needs("multi_process")
@pytest.mark.needs("limits")
@pytest.mark.parity("globallimits/apps")
async def test_activities_count_for_the_application_that_runs_them(hub: Hub) -> None:
    """A limit of the workflow's application is not for those that it sends to another one."""
    meter = Meter()

    def flow(ctx: Context):
        calls = [ctx.activity(name, app=name) for name in ("slow", "fast") for _ in range(4)]
        return str(len((yield all_of(*calls))))

    async with (
        apps(hub, APP, limits=ClaimLimits(activities=total(1))) as (shop,),
        shop.worker(flow),
        apps(hub, "slow", limits=ClaimLimits(activities=total(2))) as (slow,),
        slow.worker(None, meter.activity),
        app(hub, "fast", None, meter.activity),
    ):
        await shop.client.start("Flow", "a")
        await meter.reaches(slow=2, fast=4)
        meter.open("slow", "fast")
        assert await shop.client.output("a") == "8"
        assert meter.peaks["slow"] == 2
