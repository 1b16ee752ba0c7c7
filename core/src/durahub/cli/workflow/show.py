"""How instances and their histories look."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from durahub.cli.durations import format_age
from durahub.cli.output import on_one_line, print_json, print_table, print_yaml
from durahub.cli.workflow.api import Document

FORMATS = ("short", "wide", "yaml", "json")

_SHORTENED = 60
_NOT_KINDS = frozenset({"eventId", "timestamp", "router"})
_DETAILS = (
    "instanceId",
    "input",
    "result",
    "reason",
    "description",
    "fireAt",
    "workflowStatus",
    "version",
)
_STATUS = "ORCHESTRATION_STATUS_"
_CAUSES = ("taskScheduledId", "timerId")
"""What the result of something names it by, in the protocol's JSON; 0 is left out there."""
_RESULTS = ("Completed", "Failed", "Fired")


def output_options(
    formats: Sequence[str] = FORMATS,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds `-o` and `--json`; the command gets one argument `output`."""

    def choose(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
        if value:
            ctx.params["output"] = "json"

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        as_json = click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=choose,
            help="The same as -o json: documents of the management API.",
        )
        output = click.option(
            "-o",
            "--output",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help="How to print.",
        )
        return output(as_json(command))

    return decorate


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the same keys in every release."
)


def show_instances(instances: Iterable[Document], output: str) -> None:
    """Print a list of instances."""
    match output:
        case "ids":
            for instance in instances:
                click.echo(instance["instanceID"])
        case "json":
            print_json(list(instances))
        case "yaml":
            print_yaml(list(instances))
        case _:
            columns = _WIDE if output == "wide" else _SHORT
            rows = [[column.value(instance) for column in columns] for instance in instances]
            print_table([column.heading for column in columns], rows)


def show_instance(instance: Document, output: str) -> None:
    """Print all about one instance."""
    if output == "json":
        print_json(instance)
    elif output == "yaml":
        print_yaml(instance)
    else:
        rows = list(_facts(instance, cut=output == "short"))
        width = max(len(label) for label, _ in rows) + 2
        for label, text in rows:
            click.echo(f"{label + ':':{width}}{text}")


def show_history(history: Document, output: str) -> None:
    """Print a history."""
    if output == "json":
        print_json(history)
    elif output == "yaml":
        print_yaml(history)
    else:
        cut = output == "short"
        rows = [
            [str(number), *describe_event(event, cut=cut)]
            for number, event in enumerate(history["events"])
        ]
        print_table(["#", "TIME", "EVENT", "ID", "NAME", "DETAILS"], rows)


def describe_event(event: Document, *, cut: bool) -> tuple[str, str, str, str, str]:
    """Return moment, kind, id, name and details of an event of a history.

    Args:
        event: As the management API shows it.
        cut: Whether to shorten details.
    """
    kind = next((key for key in event if key not in _NOT_KINDS), "")
    body: Document = event.get(kind, {})
    details = [_text(body[key]).removeprefix(_STATUS) for key in _DETAILS if key in body]
    failure = body.get("failureDetails")
    if failure:
        details.append(f"{failure.get('errorType', '')}: {failure.get('errorMessage', '')}")
    name = kind[:1].upper() + kind[1:]
    return (
        str(event.get("timestamp", "")),
        name,
        _id_of(event, name, body),
        _text(body.get("name", "")),
        _shortened(" ".join(details), cut=cut),
    )


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Tell people at a terminal what takes its time; nobody else."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import

    with Console(stderr=True, highlight=False, markup=False).status(text):
        yield


class _Column(NamedTuple):
    heading: str
    value: Callable[[Document], str]


def _age(instance: Document) -> str:
    return format_age(datetime.now(UTC) - datetime.fromisoformat(instance["createdAt"]))


def _optional(key: str) -> Callable[[Document], str]:
    return lambda instance: "" if instance.get(key) is None else str(instance[key])


def _parent(instance: Document) -> str:
    parent = instance.get("parent")
    return "" if parent is None else str(parent["instanceID"])


def _tags(instance: Document) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(instance["tags"].items()))


_SHORT = (
    _Column("INSTANCE ID", _optional("instanceID")),
    _Column("NAME", _optional("name")),
    _Column("STATUS", _optional("status")),
    _Column("AGE", _age),
)
_WIDE = (
    *_SHORT[:3],
    _Column("CREATED", _optional("createdAt")),
    _Column("LAST UPDATE", _optional("lastUpdatedAt")),
    _Column("COMPLETED", _optional("completedAt")),
    _Column("EVENTS", _optional("historyLength")),
    _Column("PARENT", _parent),
    _Column("TAGS", _tags),
    _Column("PARKED", _optional("parkedReason")),
)


def _facts(instance: Document, *, cut: bool) -> Iterator[tuple[str, str]]:
    payloads = instance.get("payloads") or {}
    failure = payloads.get("failure") or {}
    facts = [
        ("instance id", instance["instanceID"]),
        ("name", instance["name"]),
        ("version", instance["version"]),
        ("status", instance["status"]),
        ("parked because", instance["parkedReason"]),
        ("created", instance["createdAt"]),
        ("scheduled start", instance["scheduledStartAt"]),
        ("started", instance["startedAt"]),
        ("last updated", instance["lastUpdatedAt"]),
        ("completed", instance["completedAt"]),
        ("parent", _parent(instance)),
        ("tags", _tags(instance)),
        ("generation", instance["generation"]),
        ("events", instance["historyLength"]),
        ("custom status", payloads.get("customStatus")),
        ("input", payloads.get("input")),
        ("output", payloads.get("output")),
        ("failure", failure and f"{failure['errorType']}: {failure['message']}"),
    ]
    for label, value in facts:
        if value not in (None, "", {}):
            yield label, _shortened(_text(value), cut=cut and label in _PAYLOADS)


_PAYLOADS = frozenset({"custom status", "input", "output", "failure"})


def _id_of(event: Document, name: str, body: Document) -> str:
    """Return the number that ties a result to what it is the result of."""
    if name.endswith(_RESULTS) and name.startswith(("Task", "Child", "Timer")):
        return str(next((body[key] for key in _CAUSES if key in body), 0))
    number = event.get("eventId", 0)
    return "" if number < 0 else str(number)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(text: str, *, cut: bool) -> str:
    line = on_one_line(text)
    return line if not cut or len(line) <= _SHORTENED else f"{line[: _SHORTENED - 1]}…"
