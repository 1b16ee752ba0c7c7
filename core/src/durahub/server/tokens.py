"""From a configuration to the tokens that a sidecar takes."""

from __future__ import annotations

from durahub.config import Configuration, TokenSection
from durahub.errors import ConfigError
from durahub.server.access import AccessControl, Caller, Token, token_for_everything
from durahub.server.operations import Role

_LOCATION = "spec.api.tokens"


def tokens_of(configuration: Configuration, dapr_token: str | None) -> tuple[Token, ...]:
    """Return the tokens of a configuration, and Dapr's own if the environment gives one.

    Raises:
        ConfigError: Two are the same, or one gives rights that can't be had together.
    """
    tokens = [] if dapr_token is None else [token_for_everything(dapr_token)]
    tokens += [_token(section) for section in configuration.api.tokens]
    try:
        AccessControl(tokens)
    except ValueError as error:
        raise ConfigError(str(error), location=_LOCATION) from None
    return tuple(tokens)


def _token(section: TokenSection) -> Token:
    caller = Caller(
        name=section.name,
        roles=frozenset(map(Role, section.roles)),
        workflows=section.workflows,
    )
    try:
        return Token(secret=section.token.get_secret_value(), caller=caller)
    except ValueError as error:
        raise ConfigError(f"{section.name}: {error}", location=_LOCATION) from None
