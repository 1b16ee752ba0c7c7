"""Dapr components as far as state stores need them: metadata with its types, and which one is meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from durahub.errors import ConfigError, nearest_name

ACTOR_STATE_STORE = "actorStateStore"
"""The metadata that makes a state store the one of the actors."""

NOT_CONFIGURED = (
    "the state store is not configured to use the actor runtime. Have you set the - name: actorStateStore"
    ' value: "true" in your state store component file?'
)
"""What Dapr says where no state store is meant for actors."""

_TRUE = frozenset({"y", "yes", "true", "t", "on", "1"})
_FALSE = frozenset({"n", "no", "false", "f", "off", "0", ""})

_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateComponent:
    """A state component, with its secrets in place.

    Attributes:
        name: Its name.
        type: Such as `state.redis`.
        version: Such as `v1`; empty means `v1`.
        metadata: The values by name, as the names are written. Every value may be a secret.
        at: Where it was defined, for messages.
    """

    name: str
    type: str
    version: str = "v1"
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    at: str = ""

    def mistake(self, message: str) -> ConfigError:
        """Return an error about this component."""
        return ConfigError(f"component {self.name} ({self.type}): {message}", location=self.at)


class Metadata:
    """The metadata of a component: names in any case, values as what they mean.

    Args:
        component: Whose.
        known: Names that mean something here.
        without_effect: Names that Dapr knows and that change nothing here.

    Raises:
        ConfigError: There is another name, or one twice.
    """

    def __init__(
        self, component: StateComponent, known: Collection[str], without_effect: Collection[str]
    ) -> None:
        self._component = component
        self._values: dict[str, str] = {}
        names = [*known, *without_effect, ACTOR_STATE_STORE]
        folded = {name.lower() for name in names}
        for name, value in component.metadata.items():
            if name.lower() not in folded:
                near = nearest_name(name, names)
                hint = (
                    f"; did you mean {near}?" if near else f"; known are {', '.join(sorted(known))}"
                )
                raise component.mistake(f"unknown metadata {name}{hint}")
            if name.lower() in self._values:
                raise component.mistake(f"the metadata {name} is there twice")
            self._values[name.lower()] = value

    def text(self, name: str) -> str:
        """Return a value, empty if it is not there."""
        return self._values.get(name.lower(), "")

    def flag(self, name: str) -> bool:
        """Return whether a value is true; false if it is not there.

        Raises:
            ConfigError: It is neither true nor false.
        """
        value = self.text(name).strip().lower()
        if value not in _TRUE | _FALSE:
            raise self._component.mistake(f"{name}: write true or false")
        return value in _TRUE

    def whole(self, name: str, default: int) -> int:
        """Return a positive whole number.

        Raises:
            ConfigError: It is none.
        """
        text = self.text(name).strip()
        if not text:
            return default
        if not (text.isascii() and text.isdecimal() and int(text)):
            raise self._component.mistake(f"{name}: write a whole number, at least 1")
        return int(text)

    def duration(self, name: str, default: timedelta) -> timedelta:
        """Return a duration such as `1m30s`; without a unit it is in seconds.

        Raises:
            ConfigError: It is none, or not positive.
        """
        text = self.text(name).strip()
        if not text:
            return default
        if text.isascii() and text.isdecimal():
            text += "s"
        parts = _PART.findall(text)
        seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
        if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= 3600:  # noqa: PLR2004
            raise self._component.mistake(
                f"{name}: write a duration of up to 1h, such as 500ms or 5s"
            )
        return timedelta(seconds=seconds)


def choose_component(components: Sequence[StateComponent]) -> StateComponent | None:
    """Return the one component that is meant for actors, None if there are no components at all.

    Raises:
        ConfigError: None of those that there are is meant for actors, or more than one is.
    """
    if not components:
        return None
    chosen = [component for component in components if _is_chosen(component)]
    if not chosen:
        raise ConfigError(NOT_CONFIGURED, location=components[0].at)
    if len(chosen) > 1:
        raise ConfigError(
            f"detected duplicate actor state store: {chosen[0].name} and {chosen[1].name};"
            f" leave {ACTOR_STATE_STORE} to one of them",
            location=chosen[1].at,
        )
    return chosen[0]


def _is_chosen(component: StateComponent) -> bool:
    return any(
        name.lower() == ACTOR_STATE_STORE.lower() and value.strip().lower() in _TRUE
        for name, value in component.metadata.items()
    )
