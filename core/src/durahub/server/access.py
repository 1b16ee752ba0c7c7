"""Who may do what: tokens with roles and workflows, and one question about them.

    caller = control.identify(header)                 who presents this token?
    decision = authorize(caller, Operation.START, "OrderFlow")
    if not decision.is_allowed: refuse with decision.text

Where there are no tokens, everybody is `EVERYBODY` and may do everything. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from durahub.server.operations import Operation, Role, Scope

ANY_WORKFLOW = "*"
"""The glob that stands for all workflows."""

DAPR_TOKEN_NAME = "DAPR_API_TOKEN"  # noqa: S105 - the name of a token
"""Name of the token that the environment gives, as on Dapr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody known by a token; holds nothing secret.

    Attributes:
        name: Name of the token, for messages and logs.
        roles: What the caller does.
        workflows: Globs (`*`, `?`, `[…]`, upper and lower case differ) of the names of the workflows
            that it may have to do with.
    """

    name: str
    roles: frozenset[Role]
    workflows: tuple[str, ...] = (ANY_WORKFLOW,)

    @property
    def is_limited(self) -> bool:
        """Whether there are workflows that it may have nothing to do with."""
        return ANY_WORKFLOW not in self.workflows

    def may_see(self, workflow_name: str) -> bool:
        """Whether a workflow is among those that it may have to do with."""
        return any(fnmatchcase(workflow_name, glob) for glob in self.workflows)


EVERYBODY = Caller(name="everybody", roles=frozenset(Role))
"""Whoever calls a sidecar that has no tokens."""

NOBODY = Caller(name="nobody", roles=frozenset())
"""Whoever may do what needs no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A secret, and whom it makes known.

    A worker gets the work of every workflow, so a token with that role has no limit to some.

    Attributes:
        secret: What is presented; not empty. It is in no `repr`.
        caller: Whoever presents it.
    """

    secret: str = field(repr=False)
    caller: Caller

    def __post_init__(self) -> None:
        if not self.secret:
            raise ValueError("a token may not be empty")
        if Role.WORKER in self.caller.roles and self.caller.is_limited:
            raise ValueError(
                "a token with the role 'worker' can't be limited to some workflows, because a worker"
                " gets the work of all of them; use a token of its own for the other roles"
            )


def token_for_everything(secret: str, *, name: str = DAPR_TOKEN_NAME) -> Token:
    """Return a token with all roles and all workflows, which is what Dapr's is."""
    return Token(secret=secret, caller=Caller(name=name, roles=frozenset(Role)))


class Verdict(Enum):
    """How a question about a right is answered."""

    ALLOWED = "allowed"
    UNKNOWN_CALLER = "unknown-caller"
    """No token or a wrong one: UNAUTHENTICATED, 401."""
    FORBIDDEN = "forbidden"
    """A token that does not give the right: PERMISSION_DENIED, 403."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a question about a right.

    Attributes:
        verdict: The answer.
        text: What is missing; empty if it is allowed. It tells a caller nothing that it did not know
            but the roles and workflows of its own token.
    """

    verdict: Verdict
    text: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether the operation may go on."""
        return self.verdict is Verdict.ALLOWED


_ALLOWED = Decision(Verdict.ALLOWED)


def authorize(
    caller: Caller | None, operation: Operation, workflow_name: str | None = None
) -> Decision:
    """Return whether a caller may do something.

    Args:
        caller: Who asks; None for somebody without a valid token.
        operation: What for.
        workflow_name: Name of the workflow that it is about. None asks about the role alone, where
            the operation is about no workflow, the instance does not exist, or its workflow is still
            to be looked up. Of a selection, every instance is asked about by its name.
    """
    if not operation.needs_token:
        return _ALLOWED
    if caller is None:
        text = f"an API token is needed to {operation.purpose}: send it as 'dapr-api-token'"
        return Decision(Verdict.UNKNOWN_CALLER, text)
    if not caller.roles & operation.roles:
        return Decision(Verdict.FORBIDDEN, _lacking_role(caller, operation))
    if workflow_name is None or operation.scope is Scope.SIDECAR or caller.may_see(workflow_name):
        return _ALLOWED
    # Not the name of the workflow: of an instance it is what the caller may not know.
    globs = ", ".join(caller.workflows) or "none"
    text = f"the token {caller.name!r} is for these workflows only: {globs}"
    return Decision(Verdict.FORBIDDEN, f"not allowed to {operation.purpose}: {text}")


def _lacking_role(caller: Caller, operation: Operation) -> str:
    needed = " or ".join(repr(role.value) for role in Role if role in operation.roles)
    present = ", ".join(repr(role.value) for role in Role if role in caller.roles) or "none"
    return (
        f"not allowed to {operation.purpose}: it needs the role {needed},"
        f" and the token {caller.name!r} has {present}"
    )


class AccessControl:
    """The tokens of a sidecar, which may be replaced while it runs.

    For use on one event loop. A call is judged by the tokens at its beginning.
    """

    def __init__(self, tokens: Sequence[Token] = ()) -> None:
        """Begin with some tokens; without any, everybody may do everything.

        Raises:
            ValueError: Two tokens have the same name or the same secret.
        """
        self._digests: tuple[tuple[bytes, Caller], ...] = ()
        self.replace(tokens)

    @property
    def is_open(self) -> bool:
        """Whether there are no tokens."""
        return not self._digests

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Whom the tokens make known."""
        return tuple(caller for _, caller in self._digests)

    def replace(self, tokens: Sequence[Token]) -> None:
        """Let these tokens count from the next call on, and no others.

        Raises:
            ValueError: Two tokens have the same name or the same secret; nothing is replaced.
        """
        if len({token.caller.name for token in tokens}) < len(tokens):
            raise ValueError("two tokens have the same name")
        digests = tuple((_digest(token.secret.encode()), token.caller) for token in tokens)
        if len({digest for digest, _ in digests}) < len(digests):
            raise ValueError("two tokens have the same secret")
        self._digests = digests

    def identify(self, presented: str | bytes | None) -> Caller | None:
        """Return whose token is presented; None if it is nobody's.

        It takes the same time however much of a token is right, and whichever it is.
        """
        if self.is_open:
            return EVERYBODY
        given = (
            presented.encode(errors="backslashreplace") if isinstance(presented, str) else presented
        )
        digest = _digest(given or b"")
        found = None
        for known, caller in self._digests:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def _digest(secret: bytes) -> bytes:
    # Of equal length, so that a comparison tells nothing about that of the secret either.
    return hashlib.sha256(secret).digest()
