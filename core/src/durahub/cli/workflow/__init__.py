"""`durahub workflow`: what clients do with workflows, on a command line.

    group       the verbs                        discovery   which sidecars run here
    looking     list, search, get, history       target      which of them is meant, or which store
    following   wait, tail                       api         calls of the management API, over HTTP
    changing    run, rerun, events, pauses …     store       the same calls on a store without a sidecar
    purging     purge                            hub         the calls that the verbs make

Nothing here knows what a workflow may do next: the verbs make calls of the management API and show answers.
"""

from durahub.cli.workflow.group import workflow_group

__all__ = ["workflow_group"]
