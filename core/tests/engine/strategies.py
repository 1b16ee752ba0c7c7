"""What hypothesis draws: histories, inboxes, and whatever a worker may answer."""

from __future__ import annotations

from datetime import timedelta

from durahub.protocol import messages as pb
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import settings
from hypothesis import strategies as st

from . import making

quickly = settings(max_examples=50, deadline=None)

ids = st.sampled_from([-1, 0, 1, 2, 3, 2**31 - 1])
names = st.sampled_from(["paid", "PAID", "Shipped", "straße", ""])
texts = st.none() | st.sampled_from(["", "x", "\x00", '{"a": 1}'])
values = texts.map(making.text)
instance_ids = st.sampled_from(["", "order-1", "other", "a|b@c"])
moments = st.integers(0, 5).map(lambda seconds: making.NOW + timedelta(seconds=seconds))
stamps = st.builds(
    Timestamp,
    seconds=st.sampled_from([-(2**62), -1, 0, 1_700_000_000, 253402300799, 2**62]),
    nanos=st.sampled_from([-1, 0, 1, 999_999_999, 2**31 - 1]),
)

schedules = st.one_of(
    st.builds(making.scheduled, ids),
    st.builds(making.timer_created, ids, st.none() | names),
    st.builds(making.child_created, ids),
)
resolutions = st.one_of(
    st.builds(making.task_completed, ids, texts),
    st.builds(making.task_failed, ids),
    st.builds(making.timer_fired, ids),
    st.builds(making.child_completed, ids),
    st.builds(making.child_failed, ids),
)
raises = st.builds(making.raised, names, moments, texts)
pauses = st.builds(making.suspended, moments) | st.builds(making.resumed, moments)
starts = st.builds(making.started, texts)
terminations = st.builds(making.terminated, texts, recurse=st.booleans(), at=moments)
nonsense = st.sampled_from(
    [
        pb.HistoryEvent(),
        pb.HistoryEvent(executionCompleted=pb.ExecutionCompletedEvent()),
        pb.HistoryEvent(eventSent=pb.EventSentEvent(name="paid")),
        pb.HistoryEvent(workflowStarted=pb.WorkflowStartedEvent()),
        making.scheduled(1),
    ]
)

histories = st.lists(
    st.one_of(schedules, resolutions, raises, pauses, st.builds(making.opened), starts),
    max_size=25,
)

deliveries = st.one_of(resolutions, raises, pauses, starts, terminations, nonsense)
inboxes = st.lists(deliveries, max_size=12)

routers = st.none() | st.builds(
    pb.TaskRouter, sourceAppID=st.just("liar"), targetAppID=st.sampled_from([None, "", "stock"])
)
origins = st.one_of(
    st.just({}),
    st.just({"createTimer": pb.TimerOriginCreateTimer()}),
    names.map(lambda name: {"externalEvent": pb.TimerOriginExternalEvent(name=name)}),
    st.just({"activityRetry": pb.TimerOriginActivityRetry(taskExecutionId="t")}),
)
failures = st.none() | st.just(pb.TaskFailureDetails(errorType="E", errorMessage=""))
bodies = st.one_of(
    st.builds(
        lambda **fields: {"scheduleTask": pb.ScheduleTaskAction(**fields)},
        name=names,
        input=values,
        version=values,
        taskExecutionId=st.sampled_from(["", "t-1"]),
        historyPropagationScope=st.none() | st.just(17),
    ),
    st.builds(
        lambda origin, **fields: {"createTimer": pb.CreateTimerAction(**origin, **fields)},
        origins,
        fireAt=st.none() | stamps,
        name=st.none() | names,
    ),
    st.builds(
        lambda **fields: {"createChildWorkflow": pb.CreateChildWorkflowAction(**fields)},
        instanceId=instance_ids,
        name=names,
        input=values,
        version=values,
    ),
    st.builds(
        lambda **fields: {"createDetachedWorkflow": pb.CreateDetachedWorkflowAction(**fields)},
        instanceId=instance_ids,
        name=names,
        input=values,
        executionId=values,
        scheduledStartTimestamp=st.none() | stamps,
        tags=st.just({"k": "v"}),
    ),
    st.builds(
        lambda name, data, to: {
            "sendEvent": pb.SendEventAction(
                name=name, data=data, instance=pb.WorkflowInstance(instanceId=to)
            )
        },
        names,
        values,
        instance_ids,
    ),
    st.builds(
        lambda **fields: {"terminateWorkflow": pb.TerminateWorkflowAction(**fields)},
        instanceId=instance_ids,
        reason=values,
        recurse=st.booleans(),
    ),
)
endings = st.builds(
    lambda **fields: {"completeWorkflow": pb.CompleteWorkflowAction(**fields)},
    workflowStatus=st.integers(0, 9),
    result=values,
    failureDetails=failures,
    carryoverEvents=st.lists(deliveries, max_size=3),
)
oddities = st.sampled_from(
    [{}, {"workflowVersionNotAvailable": pb.WorkflowVersionNotAvailableAction()}]
)


def action(number: int, body: dict[str, object], router: pb.TaskRouter | None) -> pb.WorkflowAction:
    return pb.WorkflowAction(id=number, router=router, **body)


plain_actions = st.builds(action, ids, bodies, routers)
any_actions = st.builds(action, ids, st.one_of(bodies, bodies, bodies, endings, oddities), routers)


def responses(
    actions: st.SearchStrategy[pb.WorkflowAction], *, distinct: bool
) -> st.SearchStrategy[pb.WorkflowResponse]:
    return st.builds(
        pb.WorkflowResponse,
        instanceId=st.just(making.KEY.instance_id),
        actions=st.lists(actions, max_size=6, unique_by=(lambda one: one.id) if distinct else None),
        customStatus=values,
        version=st.none()
        | st.builds(
            pb.WorkflowVersion,
            patches=st.lists(names, max_size=2),
            name=st.none() | names,
        ),
    )
