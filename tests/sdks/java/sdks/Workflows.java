package sdks;

import io.dapr.durabletask.Task;
import io.dapr.durabletask.TaskCanceledException;
import io.dapr.workflows.Workflow;
import io.dapr.workflows.WorkflowActivity;
import io.dapr.workflows.WorkflowActivityContext;
import io.dapr.workflows.WorkflowContext;
import io.dapr.workflows.WorkflowStub;
import io.dapr.workflows.WorkflowTaskOptions;
import io.dapr.workflows.WorkflowTaskRetryPolicy;
import io.dapr.workflows.runtime.WorkflowRuntimeBuilder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The workflows and activities. */
final class Workflows {
  private static final Map<String, Integer> ATTEMPTS = new ConcurrentHashMap<>();
  private static final WorkflowTaskOptions RETRY =
      new WorkflowTaskOptions(
          WorkflowTaskRetryPolicy.newBuilder()
              .setMaxNumberOfAttempts(3)
              .setFirstRetryInterval(Duration.ofMillis(100))
              .setBackoffCoefficient(1.0)
              .build());

  private Workflows() {}

  static void register(WorkflowRuntimeBuilder builder, String family) {
    activity(builder, "add_one", ctx -> ctx.getInput(Integer.class) + 1);
    activity(builder, "who", ctx -> sleep(ctx.getInput(Double.class), family));
    activity(builder, "flaky", Workflows::flaky);
    workflow(builder, "sequence", Workflows::sequence);
    workflow(builder, "fan_out", Workflows::fanOut);
    workflow(builder, "slow", Workflows::slow);
    workflow(builder, "timer", Workflows::timer);
    workflow(builder, "listener", Workflows::listener);
    workflow(builder, "impatient", Workflows::impatient);
    workflow(builder, "parent", Workflows::parent);
    workflow(builder, "generations", Workflows::generations);
    workflow(builder, "collector", Workflows::collector);
    workflow(builder, "statuses", Workflows::statuses);
    workflow(builder, "retrying", ctx -> callFlaky(ctx, RETRY));
    workflow(builder, "failing", ctx -> callFlaky(ctx, null));
  }

  private static void activity(
      WorkflowRuntimeBuilder builder, String name, WorkflowActivity activity) {
    builder.registerActivity(name, activity);
  }

  private static void workflow(WorkflowRuntimeBuilder builder, String name, WorkflowStub stub) {
    builder.registerWorkflow(name, (Workflow) () -> stub, null, null);
  }

  private static Object sleep(double seconds, String result) {
    try {
      Thread.sleep(duration(seconds).toMillis());
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
    return result;
  }

  private static Object flaky(WorkflowActivityContext ctx) {
    Map<?, ?> call = ctx.getInput(Map.class);
    int attempt = ATTEMPTS.merge((String) call.get("of"), 1, Integer::sum);
    if (attempt <= (Integer) call.get("failures")) {
      throw new IllegalStateException("attempt " + attempt + " fails");
    }
    return attempt;
  }

  private static void sequence(WorkflowContext ctx) {
    int number = ctx.getInput(Integer.class);
    for (int n = 0; n < 3; n++) {
      number = ctx.callActivity("add_one", number, Integer.class).await();
    }
    ctx.complete(number);
  }

  private static void fanOut(WorkflowContext ctx) {
    List<Task<Integer>> calls = new ArrayList<>();
    for (int n = 0; n < ctx.getInput(Integer.class); n++) {
      calls.add(ctx.callActivity("add_one", n + 1, Integer.class));
    }
    ctx.complete(ctx.allOf(calls).await().stream().mapToInt(Integer::intValue).sum());
  }

  private static void slow(WorkflowContext ctx) {
    ctx.callActivity("who", ctx.getInput(Double.class), String.class).await();
    ctx.complete("done");
  }

  private static void timer(WorkflowContext ctx) {
    ctx.createTimer(duration(ctx.getInput(Double.class))).await();
    ctx.complete("fired");
  }

  private static void listener(WorkflowContext ctx) {
    List<Object> heard = new ArrayList<>();
    for (int n = 0; n < ctx.getInput(Integer.class); n++) {
      heard.add(ctx.waitForExternalEvent("go", Object.class).await());
    }
    ctx.complete(heard);
  }

  private static void impatient(WorkflowContext ctx) {
    Duration limit = duration(ctx.getInput(Double.class));
    try {
      ctx.complete(ctx.waitForExternalEvent("go", limit, Object.class).await());
    } catch (TaskCanceledException error) {
      ctx.complete("too late");
    }
  }

  private static void parent(WorkflowContext ctx) {
    int number = ctx.getInput(Integer.class);
    int first = ctx.callChildWorkflow("sequence", number, Integer.class).await();
    String id = ctx.getInstanceId() + "-child";
    Task<Integer> second = ctx.callChildWorkflow("sequence", first, Integer.class);
    Task<Integer> third = ctx.callChildWorkflow("sequence", first, id, Integer.class);
    ctx.complete(List.of(first, second.await(), third.await()));
  }

  private static void generations(WorkflowContext ctx) {
    int number = ctx.callActivity("add_one", ctx.getInput(Integer.class), Integer.class).await();
    if (number < 5) {
      ctx.continueAsNew(number);
    } else {
      ctx.complete(number);
    }
  }

  /** Takes one of three events in each generation; the others have to be carried over. */
  private static void collector(WorkflowContext ctx) {
    List<Object> heard = new ArrayList<>(List.of(ctx.getInput(Object[].class)));
    heard.add(ctx.waitForExternalEvent("go", Object.class).await());
    if (heard.size() < 3) {
      ctx.continueAsNew(heard, true);
    } else {
      ctx.complete(heard);
    }
  }

  private static void statuses(WorkflowContext ctx) {
    for (String status : List.of("before ü", "after ü")) {
      ctx.setCustomStatus(status);
      ctx.waitForExternalEvent("go", Object.class).await();
    }
    ctx.complete("told");
  }

  private static void callFlaky(WorkflowContext ctx, WorkflowTaskOptions options) {
    Object call = Map.of("of", ctx.getInstanceId(), "failures", ctx.getInput(Integer.class));
    ctx.complete(ctx.callActivity("flaky", call, options, Integer.class).await());
  }

  private static Duration duration(double seconds) {
    return Duration.ofMillis(Math.round(seconds * 1000));
  }
}
