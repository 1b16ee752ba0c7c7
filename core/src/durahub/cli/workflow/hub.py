"""The calls that the verbs make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from durahub.cli.workflow.api import Api, Document

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED", "TERMINATED"})
STATUSES = (
    "RUNNING",
    "COMPLETED",
    "CONTINUED_AS_NEW",
    "FAILED",
    "CANCELED",
    "TERMINATED",
    "PENDING",
    "SUSPENDED",
    "STALLED",
)

_ROOT = "/durahub/v1"
_PAGE = 1000
_PURGED_AT_ONCE = 100
_LONGEST_WAIT_S = 60
_ANSWER_S = 30.0
"""How much later than asked for an answer may come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Selects instances; all conditions must hold.

    Attributes:
        status: One of these; empty: all.
        name: Name of the workflow; `*` stands for any text, `?` for a character.
        created_from: Created at or after.
        created_to: Created before.
        parent: Instance id of the parent.
        tags: Keys, and values or None for any.
    """

    status: tuple[str, ...] = ()
    name: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    parent: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)

    def as_body(self) -> Document:
        """Return the object that bodies hold."""
        conditions = {
            "status": list(self.status),
            "name": self.name,
            "createdFrom": self.created_from and self.created_from.isoformat(),
            "createdTo": self.created_to and self.created_to.isoformat(),
            "parent": self.parent,
            "tags": dict(self.tags),
        }
        return {key: value for key, value in conditions.items() if value not in (None, [], {})}

    def as_query(self) -> list[tuple[str, str]]:
        """Return the same as query parameters."""
        query: list[tuple[str, str]] = []
        for key, value in self.as_body().items():
            if key == "tags":
                query += [("tag", k if v is None else f"{k}={v}") for k, v in value.items()]
            else:
                query += [(key, v) for v in (value if isinstance(value, list) else [value])]
        return query


class Hub:
    """The instances of one application, as a sidecar or a store shows them.

    Every method may raise `RefusedError` and `UnreachableError`. Documents are those of the management API.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def instances(self, selected: Filter) -> Iterator[Document]:
        """Yield the instances that a filter selects, in order of creation, page by page."""
        query = [*selected.as_query(), ("limit", str(_PAGE))]
        for page in self._pages("/instances", query):
            yield from page["instances"]

    def count(self, selected: Filter) -> dict[str, int]:
        """Return how many instances of each status a filter selects."""
        counts: dict[str, int] = {}
        for page in self._pages("/instance-counts", selected.as_query()):
            for status, number in page["byStatus"].items():
                counts[status] = counts.get(status, 0) + number
        return counts

    def instance(self, instance_id: str, *, payloads: bool = True) -> Document:
        """Return one instance."""
        query = [("payloads", "true" if payloads else "false")]
        return self._api.call("GET", _path(instance_id), query=query).document

    def history(self, instance_id: str, start: int = 0) -> Document:
        """Return the committed history, without so many of its first events.

        An instance that begins a new generation meanwhile is read again from the start of that.
        """
        page = self._history_page(instance_id, start)
        events = list(page["events"])
        while not page["isLast"]:
            following = self._history_page(instance_id, page["next"])
            if following["executionID"] != page["executionID"]:
                return self.history(instance_id)
            page = following
            events += page["events"]
        return {"instanceID": instance_id, **page, "events": events}

    def wait(
        self, instance_id: str, *, until: str, timeout_s: float, payloads: bool = True
    ) -> tuple[bool, Document]:
        """Wait once, for at most a minute; returns whether it was reached, and the instance.

        Args:
            instance_id: Which.
            until: `started` or `completed`, which is any end.
            timeout_s: How long.
            payloads: Whether to return inputs and outputs.
        """
        seconds = min(max(timeout_s, 0), _LONGEST_WAIT_S)
        answer = self._api.call(
            "GET",
            _path(instance_id, "/wait"),
            query=[
                ("for", until),
                ("timeout", f"{seconds:.3f}"),
                ("payloads", "true" if payloads else "false"),
            ],
            timeout_s=seconds + _ANSWER_S,
        )
        return answer.status != _ACCEPTED, answer.document

    def start(self, body: Mapping[str, Any]) -> str:
        """Start a workflow and return its instance id; does not wait for its first turn."""
        answer = self._api.call("POST", f"{_ROOT}/instances", body=body)
        return str(answer.document["instanceID"])

    def tell(self, instance_id: str, verb: str, body: Mapping[str, Any]) -> Document:
        """Let something happen to an instance: events, suspend, resume, terminate, purge, rerun."""
        return self._api.call("POST", _path(instance_id, f"/{verb}"), body=body).document

    def purge_selected(
        self, selected: Filter, *, recursive: bool, force: bool, dry_run: bool
    ) -> Iterator[Document]:
        """Purge what a filter selects, and yield what became of each page."""
        body: Document = {
            "filter": selected.as_body(),
            "all": True,
            "recursive": recursive,
            "force": force,
            "dryRun": dry_run,
            "limit": _PURGED_AT_ONCE,
        }
        token: str | None = ""
        while token is not None:
            more = {"pageToken": token} if token else {}
            page = self._api.call("POST", f"{_ROOT}/bulk/purge", body={**body, **more}).document
            yield page
            token = page["nextPageToken"]

    def _pages(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Document]:
        token: str | None = ""
        while token is not None:
            more = [("pageToken", token)] if token else []
            page = self._api.call("GET", f"{_ROOT}{path}", query=[*query, *more]).document
            yield page
            token = page["nextPageToken"]

    def _history_page(self, instance_id: str, start: int) -> Document:
        query = [("from", str(start)), ("limit", str(_PAGE))]
        return self._api.call("GET", _path(instance_id, "/history"), query=query).document


_ACCEPTED = 202


def _path(instance_id: str, rest: str = "") -> str:
    return f"{_ROOT}/instances/{quote(instance_id, safe='')}{rest}"
