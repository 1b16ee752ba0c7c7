"""`crossapp_app.py PORT NAME`: one of two applications `shop` and `other`, with the unmodified `dapr` SDK."""

from __future__ import annotations

import signal
import sys
from typing import Any

import dapr.ext.workflow as wf

port, name = sys.argv[1:]
runtime = wf.WorkflowRuntime(host="127.0.0.1", port=port)


@runtime.activity(name="sign")
def sign(_: wf.WorkflowActivityContext, text: str) -> str:
    return f"{text}>{name}"


@runtime.workflow(name="Child")
def child(ctx: wf.DaprWorkflowContext, text: str) -> Any:
    return (yield ctx.call_activity("sign", input=f"{text}>{ctx.instance_id}", app_id="shop"))


@runtime.workflow(name="Flow")
def flow(ctx: wf.DaprWorkflowContext, text: str) -> Any:
    text = yield ctx.call_activity("sign", input=text, app_id="other")
    text = yield ctx.call_child_workflow("Child", input=text, app_id="other")
    return text + (yield ctx.wait_for_external_event("go"))


runtime.start()
signal.sigwait({signal.SIGTERM})
runtime.shutdown()
