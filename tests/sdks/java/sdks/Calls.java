package sdks;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.dapr.workflows.client.DaprWorkflowClient;
import io.dapr.workflows.client.WorkflowFailureDetails;
import io.dapr.workflows.client.WorkflowState;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;

/** Calls of the SDK's client. */
final class Calls {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final DaprWorkflowClient client = new DaprWorkflowClient();

  Object carryOut(JsonNode call) throws Exception {
    String id = call.path("instance_id").textValue();
    switch (call.get("op").textValue()) {
      case "start":
        return start(call.get("workflow").textValue(), value(call.get("input")), id);
      case "get":
        return describe(client.getWorkflowState(id, true));
      case "wait":
        Duration limit = Duration.ofSeconds(call.get("timeout_s").asLong());
        return describe(client.waitForWorkflowCompletion(id, limit, true));
      case "tell":
        client.raiseEvent(id, call.get("event").textValue(), value(call.get("data")));
        return null;
      case "suspend":
        client.suspendWorkflow(id, "");
        return null;
      case "resume":
        client.resumeWorkflow(id, "");
        return null;
      case "terminate":
        client.terminateWorkflow(id, value(call.get("output")));
        return null;
      case "purge":
        return client.purgeWorkflow(id);
      default:
        throw new IllegalArgumentException(call.toString());
    }
  }

  private String start(String workflow, Object input, String id) {
    return id == null
        ? client.scheduleNewWorkflow(workflow, input)
        : client.scheduleNewWorkflow(workflow, input, id);
  }

  private static Object value(JsonNode node) throws Exception {
    return JSON.treeToValue(node, Object.class);
  }

  private static Map<String, Object> describe(WorkflowState state) {
    // The SDK returns a state without a name for an instance that does not exist.
    if (state == null || state.getName() == null || state.getName().isEmpty()) {
      return null;
    }
    WorkflowFailureDetails failure = state.getFailureDetails();
    Map<String, Object> described = new HashMap<>();
    described.put("status", state.getRuntimeStatus().name());
    described.put("output", state.getSerializedOutput());
    described.put("custom_status", null); // it has no accessor
    described.put("failure", failure == null ? null : failure.getErrorMessage());
    return described;
  }

  static Map<String, Object> describe(Exception error) {
    Map<String, Object> described = new HashMap<>();
    described.put("kind", error.getClass().getSimpleName());
    described.put("code", null);
    described.put("text", String.valueOf(error.getMessage()));
    if (error instanceof StatusRuntimeException refused) {
      described.put("code", refused.getStatus().getCode().name());
    }
    return described;
  }
}
