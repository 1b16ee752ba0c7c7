"""The verbs."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import click

from durahub.cli.lazy_group import LazyCommand, LazyGroup
from durahub.cli.workflow.target import FindEdition

HELP = """Start, find, watch and steer workflows.

The verbs and flags are those of `dapr workflow`, and more. They ask a running sidecar: the one that
--dapr-http-port or --http-endpoint names, or DAPR_HTTP_ENDPOINT or DAPR_HTTP_PORT, or else the one that runs
on this machine; with several, --app-id chooses. Its API token is taken from DAPR_API_TOKEN.

With --config, the verbs that look and `purge` work on the store itself, without a sidecar.
"""

_VERBS = (
    ("run", "changing", "Start a workflow."),
    ("list", "looking", "List instances."),
    ("search", "looking", "Find instances by name, status, time, parent and tags."),
    ("get", "looking", "Show one instance."),
    ("history", "looking", "Show the history of an instance."),
    ("tail", "following", "Follow the history of an instance until it ends."),
    ("wait", "following", "Wait for the start or the end of an instance."),
    ("raise-event", "changing", "Raise an event for an instance."),
    ("suspend", "changing", "Suspend an instance."),
    ("resume", "changing", "Resume an instance."),
    ("terminate", "changing", "End an instance."),
    ("rerun", "changing", "Start an ended instance over from an event."),
    ("purge", "purging", "Remove instances."),
)


def workflow_group(edition: FindEdition) -> click.Group:
    """Return the command group `workflow` of a build."""
    verbs = {name: _verb(edition, name, module, summary) for name, module, summary in _VERBS}
    verbs["ls"] = replace(verbs["list"], is_alias=True)
    return LazyGroup("workflow", help=HELP, lazy=verbs)


def _verb(edition: FindEdition, name: str, module: str, summary: str) -> LazyCommand:
    def build() -> click.Command:
        verbs = import_module(f"durahub.cli.workflow.{module}")
        command: click.Command = getattr(verbs, f"{name.replace('-', '_')}_command")(edition)
        return command

    return LazyCommand(summary, build)
