from __future__ import annotations

import re
from pathlib import Path

import pytest
from durahub.protocol.generated import service_pb2
from durahub.server.access import (
    EVERYBODY,
    AccessControl,
    Caller,
    Token,
    Verdict,
    authorize,
    token_for_everything,
)
from durahub.server.operations import (
    DAPR_SERVICE,
    OPERATION_OF_RPC,
    TASK_HUB_SERVICE,
    Operation,
    Role,
    Scope,
    operation_of,
    purging,
)

PAGE = Path(__file__).parents[3] / "docs/reference/security.md"

# Which roles may do it: worker, read, operate, admin; and what a limit to workflows bears on.
RIGHTS = {
    "health": "WROA -",
    "hello": "WROA -",
    "describe": "WROA -",
    "unserved": "WROA -",
    "connect-worker": "W -",
    "complete": "W -",
    "metadata-read": "ROA -",
    "get": "ROA instance",
    "history": "WROA instance",
    "list": "ROA each",
    "start": "OA instance",
    "raise": "OA instance",
    "suspend": "OA instance",
    "resume": "OA instance",
    "terminate": "OA instance",
    "purge": "OA instance",
    "rerun": "OA instance",
    "bulk-suspend": "OA each",
    "bulk-resume": "OA each",
    "bulk-terminate": "OA each",
    "bulk-purge": "OA each",
    "force-purge": "A instance",
    "bulk-force-purge": "A each",
    "metadata-write": "A -",
    "shutdown": "A -",
}
LETTERS = {Role.WORKER: "W", Role.READ: "R", Role.OPERATE: "O", Role.ADMIN: "A"}
CELLS = [
    pytest.param(operation, role, id=f"{operation.key}-{role}")
    for operation in Operation
    for role in Role
]


def _caller(*roles: Role, workflows: tuple[str, ...] = ("*",)) -> Caller:
    return Caller(name="ci", roles=frozenset(roles), workflows=workflows)


@pytest.mark.parametrize(("operation", "role"), CELLS)
def test_a_role_may_do_what_the_table_says(operation: Operation, role: Role) -> None:
    letters, _, _ = RIGHTS[operation.key].partition(" ")
    decision = authorize(_caller(role), operation, "OrderFlow")
    assert decision.is_allowed == (LETTERS[role] in letters)
    if not decision.is_allowed:
        assert decision.verdict is Verdict.FORBIDDEN
        assert decision.text.startswith(f"not allowed to {operation.purpose}: it needs the role ")
        assert decision.text.endswith(f"and the token 'ci' has '{role}'")


@pytest.mark.parametrize("operation", Operation, ids=lambda operation: operation.key)
def test_without_a_token_only_health_can_be_asked(operation: Operation) -> None:
    decision = authorize(None, operation)
    assert decision.is_allowed == (operation.key == "health")
    if not decision.is_allowed:
        assert decision.verdict is Verdict.UNKNOWN_CALLER
        assert "dapr-api-token" in decision.text


@pytest.mark.parametrize("operation", Operation, ids=lambda operation: operation.key)
def test_a_limit_to_workflows_bears_on_what_the_table_says(operation: Operation) -> None:
    caller = _caller(*Role, workflows=("Order*", "Ship?"))
    limit = RIGHTS[operation.key].partition(" ")[2]
    assert authorize(caller, operation, "OrderFlow").is_allowed
    assert authorize(caller, operation, "Ship1").is_allowed
    assert authorize(caller, operation).is_allowed
    refused = authorize(caller, operation, "SecretFlow")
    assert refused.is_allowed == (limit == "-")
    assert "SecretFlow" not in refused.text
    if limit != "-":
        assert refused.text.endswith("the token 'ci' is for these workflows only: Order*, Ship?")
    assert authorize(caller, operation, "orderFlow").is_allowed == (limit == "-")


def test_the_page_shows_the_table_of_the_code() -> None:
    shown = {
        cells[0].strip("`"): cells[1:]
        for line in PAGE.read_text().splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 7
        and cells[0].startswith("`")
    }
    limits = {
        Scope.SIDECAR: "–",  # noqa: RUF001 - as it stands there
        Scope.INSTANCE: "the instance's",
        Scope.SELECTION: "each one's",
    }
    assert list(shown) == list(RIGHTS)
    for operation in Operation:
        marks = [
            ("yes" if operation.needs_token else "without a token")
            if authorize(_caller(role), operation).is_allowed
            else "no"
            for role in Role
        ]
        assert shown[operation.key] == [operation.purpose, *marks, limits[operation.scope]]


def test_every_method_of_the_service_is_an_operation() -> None:
    methods = service_pb2.DESCRIPTOR.services_by_name[TASK_HUB_SERVICE].methods
    paths = {f"/{TASK_HUB_SERVICE}/{method.name}" for method in methods}
    assert paths == {path for path in OPERATION_OF_RPC if path.startswith(f"/{TASK_HUB_SERVICE}/")}


def test_both_stages_of_dapr_methods_are_the_same_operation() -> None:
    for path, operation in OPERATION_OF_RPC.items():
        if path.startswith(f"/{DAPR_SERVICE}/") and path.endswith("Alpha1"):
            assert operation_of(path.replace("Alpha1", "Beta1")) is operation
    assert operation_of(f"/{DAPR_SERVICE}/PauseWorkflowBeta1") is Operation.SUSPEND
    assert operation_of(f"/{DAPR_SERVICE}/GetState") is Operation.UNSERVED
    assert operation_of("/nowhere") is Operation.UNSERVED


def test_what_a_purge_asks_for_depends_on_its_request() -> None:
    assert purging(is_selection=False, is_forced=False) is Operation.PURGE
    assert purging(is_selection=False, is_forced=True) is Operation.FORCE_PURGE
    assert purging(is_selection=True, is_forced=False) is Operation.BULK_PURGE
    assert purging(is_selection=True, is_forced=True) is Operation.BULK_FORCE_PURGE


def test_a_token_makes_its_caller_known_and_nothing_else_does() -> None:
    reader = Token(secret="r3ad", caller=_caller(Role.READ))
    control = AccessControl([token_for_everything("4ll"), reader])
    assert control.identify("r3ad") is reader.caller
    assert control.identify(b"r3ad") is reader.caller
    everything = control.identify("4ll")
    assert everything is not None
    assert everything.roles == set(Role)
    for wrong in (None, "", "r3a", "r3ad ", "R3AD", "r3ad4ll", b"\xff", "\ud800"):
        assert control.identify(wrong) is None


def test_without_tokens_everybody_may_do_everything() -> None:
    control = AccessControl()
    assert control.is_open
    for presented in (None, "", "whatever"):
        assert control.identify(presented) is EVERYBODY
    assert all(authorize(EVERYBODY, operation, "W").is_allowed for operation in Operation)


def test_replaced_tokens_count_no_more() -> None:
    control = AccessControl([token_for_everything("old")])
    control.replace([token_for_everything("new")])
    assert control.identify("old") is None
    assert control.identify("new") is not None


def test_tokens_differ_in_name_and_secret() -> None:
    one = token_for_everything("same")
    control = AccessControl([one])
    for wrong, text in (
        ([one, token_for_everything("other")], "name"),
        ([one, token_for_everything("same", name="b")], "secret"),
    ):
        with pytest.raises(ValueError, match=f"same {text}") as caught:
            control.replace(wrong)
        assert "other" not in str(caught.value)
    assert control.identify("same") is not None


def test_a_worker_is_limited_to_no_workflows() -> None:
    caller = _caller(Role.WORKER, Role.READ, workflows=("Order*",))
    with pytest.raises(ValueError, match="'worker' can't be limited"):
        Token(secret="s", caller=caller)
    with pytest.raises(ValueError, match="empty"):
        Token(secret="", caller=_caller(Role.READ))


def test_no_repr_shows_a_secret() -> None:
    token = token_for_everything("canary-4711")
    control = AccessControl([token])
    shown = f"{token!r} {control!r} {control.callers!r} {vars(control)!r}"
    assert not re.search("canary", shown)
