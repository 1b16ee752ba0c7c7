// `app.js MODULES FAMILY PORT`: worker and client with Dapr's JavaScript SDK, installed in the folder MODULES.
// What all apps of these tests have in common is described in ../README.md.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");

const [modules, FAMILY, PORT] = process.argv.slice(2);
console.log = console.info = console.error; // standard output is for answers

const dapr = require(path.join(modules, "node_modules", "@dapr", "dapr"));
const { DaprWorkflowClient, WorkflowRuntime, WorkflowRuntimeStatus } = dapr;

const address = { daprHost: "127.0.0.1", daprPort: PORT };
const runtime = new WorkflowRuntime(address);
const client = new DaprWorkflowClient(address);
const attempts = new Map();
const turns = new Map();

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const count = (counts, key) => counts.set(key, (counts.get(key) ?? 0) + 1).get(key);

runtime.registerActivityWithName("add_one", async (_, number) => number + 1);

runtime.registerActivityWithName("who", async (_, seconds) => {
  await sleep(seconds);
  return FAMILY;
});

runtime.registerActivityWithName("gate", async (_, file) => {
  while (!fs.existsSync(file)) await sleep(0.05);
});

runtime.registerActivityWithName("flaky", async (_, { of, failures }) => {
  const attempt = count(attempts, of);
  if (attempt <= failures) throw new Error(`attempt ${attempt} fails`);
  return attempt;
});

runtime.registerWorkflowWithName("sequence", async function* (ctx, number) {
  for (let n = 0; n < 3; n++) number = yield ctx.callActivity("add_one", number);
  return number;
});

runtime.registerWorkflowWithName("fan_out", async function* (ctx, size) {
  const calls = Array.from({ length: size }, (_, n) => ctx.callActivity("add_one", n + 1));
  return (yield ctx.whenAll(calls)).reduce((sum, number) => sum + number, 0);
});

// Returns which families ran so many activities that were scheduled at once.
runtime.registerWorkflowWithName("together", async function* (ctx, size) {
  const calls = Array.from({ length: size }, () => ctx.callActivity("who", 0.2));
  return [...new Set(yield ctx.whenAll(calls))].sort();
});

// Runs activities one after the other, the fifth of which ends when there is a file.
runtime.registerWorkflowWithName("relay", async function* (ctx, file) {
  count(turns, ctx.getWorkflowInstanceId());
  const steps = Array(4).fill(["who", 0.05]);
  for (const [activity, input] of [...steps, ["gate", file], ...steps]) yield ctx.callActivity(activity, input);
  return "arrived";
});

runtime.registerWorkflowWithName("slow", async function* (ctx, seconds) {
  yield ctx.callActivity("who", seconds);
  return "done";
});

runtime.registerWorkflowWithName("timer", async function* (ctx, seconds) {
  yield ctx.createTimer(seconds);
  return "fired";
});

runtime.registerWorkflowWithName("listener", async function* (ctx, size) {
  const heard = [];
  for (let n = 0; n < size; n++) heard.push(yield ctx.waitForExternalEvent("go"));
  return heard;
});

runtime.registerWorkflowWithName("impatient", async function* (ctx, seconds) {
  const event = ctx.waitForExternalEvent("go");
  const first = yield ctx.whenAny([event, ctx.createTimer(seconds)]);
  return first === event ? event.getResult() : "too late";
});

runtime.registerWorkflowWithName("parent", async function* (ctx, number) {
  const first = yield ctx.callChildWorkflow("sequence", number);
  const others = yield ctx.whenAll([
    ctx.callChildWorkflow("sequence", first),
    ctx.callChildWorkflow("sequence", first, `${ctx.getWorkflowInstanceId()}-child`),
  ]);
  return [first, ...others];
});

runtime.registerWorkflowWithName("generations", async function* (ctx, number) {
  number = yield ctx.callActivity("add_one", number);
  if (number >= 5) return number;
  ctx.continueAsNew(number, false);
});

// Takes one of three events in each generation; the others have to be carried over.
runtime.registerWorkflowWithName("collector", async function* (ctx, heard) {
  heard = [...heard, yield ctx.waitForExternalEvent("go")];
  if (heard.length >= 3) return heard;
  ctx.continueAsNew(heard, true);
});

runtime.registerWorkflowWithName("statuses", async function* (ctx) {
  ctx.setCustomStatus("before ü");
  yield ctx.waitForExternalEvent("go");
  ctx.setCustomStatus("after ü");
  yield ctx.waitForExternalEvent("go");
  return "told";
});

// The SDK has no retry policies: its users catch.
runtime.registerWorkflowWithName("retrying", async function* (ctx, failures) {
  for (let attempt = 1; ; attempt++) {
    try {
      return yield ctx.callActivity("flaky", { of: ctx.getWorkflowInstanceId(), failures });
    } catch (error) {
      if (attempt === 3) throw error;
      yield ctx.createTimer(0.1);
    }
  }
});

runtime.registerWorkflowWithName("failing", async function* (ctx, failures) {
  return yield ctx.callActivity("flaky", { of: ctx.getWorkflowInstanceId(), failures });
});

const describe = (state) =>
  state && {
    status: WorkflowRuntimeStatus[state.runtimeStatus],
    output: state.serializedOutput ?? null,
    custom_status: state.customStatus ?? null,
    failure: state.workflowFailureDetails?.getErrorMessage() ?? null,
  };

const CALLS = {
  start: (call) => client.scheduleNewWorkflow(call.workflow, call.input, call.instance_id ?? undefined),
  get: async (call) => describe(await client.getWorkflowState(call.instance_id, true)),
  wait: async (call) => describe(await client.waitForWorkflowCompletion(call.instance_id, true, call.timeout_s)),
  tell: (call) => client.raiseEvent(call.instance_id, call.event, call.data),
  suspend: (call) => client.suspendWorkflow(call.instance_id),
  resume: (call) => client.resumeWorkflow(call.instance_id),
  terminate: (call) => client.terminateWorkflow(call.instance_id, call.output),
  purge: (call) => client.purgeWorkflow(call.instance_id),
  turns: () => Object.fromEntries(turns),
};

async function answer(call) {
  let outcome;
  try {
    outcome = { value: (await CALLS[call.op](call)) ?? null };
  } catch (error) {
    const code = dapr.GrpcStatus?.[error.code] ?? error.code?.toString() ?? null;
    outcome = { error: { kind: error.constructor.name, code, text: error.details ?? error.message } };
  }
  process.stdout.write(`${JSON.stringify({ id: call.id, ...outcome })}\n`);
}

process.on("unhandledRejection", (error) => console.error("unhandled", error));

(async () => {
  await runtime.start();
  readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => answer(JSON.parse(line)))
    .on("close", () => process.exit(0));
})();
