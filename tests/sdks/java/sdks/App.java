package sdks;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.dapr.workflows.runtime.WorkflowRuntimeBuilder;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Worker and client with Dapr's Java SDK: {@code App FAMILY PORT}.
 *
 * <p>What all apps of these tests have in common is described in ../../README.md.
 */
public final class App {
  private static final ObjectMapper JSON = new ObjectMapper();

  private App() {}

  public static void main(String[] arguments) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err); // standard output is for answers
    System.setProperty("dapr.grpc.port", arguments[1]);
    WorkflowRuntimeBuilder builder = new WorkflowRuntimeBuilder();
    Workflows.register(builder, arguments[0]);
    builder.build().start(false);
    Calls calls = new Calls();
    ExecutorService pool = Executors.newCachedThreadPool();
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = input.readLine()) != null; ) {
      JsonNode call = JSON.readTree(line);
      pool.submit(() -> print(answers, answer(calls, call)));
    }
    System.exit(0);
  }

  private static Map<String, Object> answer(Calls calls, JsonNode call) {
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("id", call.get("id").asInt());
    try {
      answer.put("value", calls.carryOut(call));
    } catch (Exception error) {
      answer.put("error", Calls.describe(error));
    }
    return answer;
  }

  private static void print(PrintStream answers, Map<String, Object> answer) {
    try {
      byte[] line = (JSON.writeValueAsString(answer) + "\n").getBytes(StandardCharsets.UTF_8);
      synchronized (answers) {
        answers.write(line);
        answers.flush();
      }
    } catch (Exception error) {
      error.printStackTrace();
    }
  }
}
