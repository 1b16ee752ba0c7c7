"""Workflows of mixed kinds, and what each of them must end with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from durahub.protocol import messages as pb

from tests.parity.flows import Context, Workflow, all_of, any_of

EVENTS = 3
GENERATIONS = 3


def chain(ctx: Context):
    """Three activities, one after the other."""
    value = ctx.input
    for _ in range(3):
        value = yield ctx.activity("step", value)
    return value


def fan(ctx: Context):
    """Eight activities at once."""
    found = yield all_of(*[ctx.activity("step", f"{ctx.input}/{number}") for number in range(8)])
    return "|".join(found)


def sleeper(ctx: Context):
    """Two timers with an activity between them."""
    yield ctx.sleep(0.3)
    value = yield ctx.activity("step", ctx.input)
    yield any_of(ctx.sleep(0.2), ctx.event("never"))
    return value


def listener(ctx: Context):
    """Events in order, an activity for each; one that a client sent twice is left over."""
    told = []
    for number in range(EVENTS):
        told.append((yield ctx.event(f"news{number}")))
        yield ctx.activity("step", told[-1])
    return ",".join(told)


def parent(ctx: Context):
    """Two children."""
    kids = [ctx.child("chain", f"{ctx.input}.{number}") for number in range(2)]
    return "|".join((yield all_of(*kids)))


def looper(ctx: Context):
    """Several generations, an activity in each."""
    value = yield ctx.activity("step", ctx.input)
    if value.count("+") < GENERATIONS:
        ctx.continue_as_new(value)
        return None
    return value


FLOWS: Mapping[str, Workflow] = {
    flow.__name__: flow for flow in (chain, fan, sleeper, listener, parent, looper)
}


async def step(request: pb.ActivityRequest) -> str:
    """The one activity: leaves a trace of each time that its result was used."""
    return f"{request.input.value}+"


@dataclass(frozen=True)
class Order:
    """One workflow to run."""

    number: int

    @property
    def name(self) -> str:
        return list(FLOWS)[self.number % len(FLOWS)]

    @property
    def instance_id(self) -> str:
        return f"{self.name}-{self.number}"

    @property
    def value(self) -> str:
        return f"v{self.number}"

    @property
    def expected(self) -> str:
        """The output that it must have, however often it was interrupted."""
        value = self.value
        match self.name:
            case "chain":
                return f"{value}+++"
            case "fan":
                return "|".join(f"{value}/{number}+" for number in range(8))
            case "sleeper":
                return f"{value}+"
            case "listener":
                return ",".join(f"{value}#{number}" for number in range(EVENTS))
            case "parent":
                return "|".join(f"{value}.{number}+++" for number in range(2))
            case _:
                return value + "+" * GENERATIONS
