"""Which parts of the API there are: `spec.api.allowed` and `spec.api.denied`.

Parts have Dapr's names: `workflows`, `metadata`, `shutdown`. TaskHubSidecarService is the part `workflows`
over gRPC in all its versions, so a list that allows one of them allows it. Our own API is the part
`workflows` over HTTP in a version of its own, which has to be allowed by name or along with all. Both are
denied along with all of Dapr's versions: neither is a way round a list. Health is always there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from durahub.config import ApiRule
from durahub.server.operations import DAPR_SERVICE, TASK_HUB_SERVICE

Protocol = Literal["http", "grpc"]

WORKFLOWS = "workflows"
OWN_VERSION = "durahub/v1"
"""Version of the part `workflows` that our own HTTP API is."""
_DAPR_VERSIONS = frozenset({"v1", "v1alpha1", "v1beta1"})
ALWAYS_THERE = frozenset({"health", "healthz"})


class ApiRules:
    """What is allowed and denied, to be asked for each call."""

    def __init__(self, allowed: Sequence[ApiRule] = (), denied: Sequence[ApiRule] = ()) -> None:
        """Begin with two lists; without any of them everything is permitted."""
        self.replace(allowed, denied)

    def replace(self, allowed: Sequence[ApiRule], denied: Sequence[ApiRule]) -> None:
        """Let other lists count from the next call on."""
        self._allowed = tuple(allowed)
        self._denied = tuple(denied)

    def permits(self, name: str, version: str | None, protocol: Protocol) -> bool:
        """Return whether a part of the API is there.

        Args:
            name: Dapr's name of the part.
            version: Such as `v1.0-beta1`, `v1beta1` or `OWN_VERSION`; None for what has all versions.
            protocol: How it is asked for.
        """
        if name in ALWAYS_THERE:
            return True
        if self._allowed and not any(
            _is_about(rule, name, protocol) and (version is None or _has_version(rule, version))
            for rule in self._allowed
        ):
            return False
        denied = [rule for rule in self._denied if _is_about(rule, name, protocol)]
        if any(_has_version(rule, version) for rule in denied):
            return False
        named = {_normal(rule.version) for rule in denied if rule.version is not None}
        return version not in (None, OWN_VERSION) or not named >= _DAPR_VERSIONS

    def permits_rpc(self, path: str) -> bool:
        """Return whether an RPC, as `/Service/Method`, is there; those of no part always are."""
        part = _part_of(path)
        return part is None or self.permits(*part, "grpc")


def _part_of(path: str) -> tuple[str, str | None] | None:
    service, _, method = path.removeprefix("/").partition("/")
    if service == TASK_HUB_SERVICE:
        return WORKFLOWS, None
    if service != DAPR_SERVICE:
        return None
    if method in ("GetMetadata", "SetMetadata"):
        return "metadata", "v1"
    if method == "Shutdown":
        return "shutdown", "v1"
    for stage in ("Alpha1", "Beta1"):
        if "Workflow" in method and method.endswith(stage):
            return WORKFLOWS, f"v1{stage.lower()}"
    return None


def _is_about(rule: ApiRule, name: str, protocol: Protocol) -> bool:
    return rule.name.casefold() == name and rule.protocol in (None, protocol)


def _has_version(rule: ApiRule, version: str | None) -> bool:
    if rule.version is None:
        return True
    return version is not None and _normal(rule.version) == _normal(version)


def _normal(version: str) -> str:
    """Return `v1beta1` for `v1.0-beta1`, as one is for HTTP and the other for gRPC in Dapr."""
    return version.casefold().replace(".0", "").replace("-", "")
