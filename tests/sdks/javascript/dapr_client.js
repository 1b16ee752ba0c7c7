// `dapr_client.js MODULES HTTP_PORT GRPC_PORT`: takes a workflow through its life with DaprClient over HTTP, looks at
// the metadata over both protocols, and prints what it saw.
"use strict";

const path = require("node:path");
const { randomUUID } = require("node:crypto");

const [modules, HTTP_PORT, GRPC_PORT] = process.argv.slice(2);
const print = console.log;
console.log = console.info = console.error; // standard output is for the answer

const { DaprClient, CommunicationProtocolEnum } = require(path.join(modules, "node_modules", "@dapr", "dapr"));

const LONGEST_MS = 30_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(look, wanted) {
  const deadline = Date.now() + LONGEST_MS;
  for (;;) {
    const state = await look();
    if (state.runtimeStatus === wanted) return state;
    if (Date.now() > deadline) throw new Error(`never ${wanted}: ${JSON.stringify(state)}`);
    await sleep(50);
  }
}

async function main() {
  const client = new DaprClient({
    daprHost: "127.0.0.1",
    daprPort: HTTP_PORT,
    communicationProtocol: CommunicationProtocolEnum.HTTP,
  });
  const overGrpc = new DaprClient({
    daprHost: "127.0.0.1",
    daprPort: GRPC_PORT,
    communicationProtocol: CommunicationProtocolEnum.GRPC,
  });
  const key = `key-${randomUUID()}`;
  await overGrpc.metadata.set(key, "value");
  const metadata = await client.metadata.get();
  const one = randomUUID();
  const look = () => client.workflow.get(one);
  await client.workflow.start("listener", 1, one);
  await until(look, "RUNNING");
  await client.workflow.pause(one);
  await until(look, "SUSPENDED");
  await client.workflow.resume(one);
  await until(look, "RUNNING");
  await client.workflow.raise(one, "go", { a: 1 });
  const state = await until(look, "COMPLETED");
  await client.workflow.terminate(one);
  await client.workflow.purge(one);
  const afterwards = await look().then(
    () => "still there",
    (error) => error.message,
  );
  print(
    JSON.stringify({
      app: metadata.id,
      appOverGrpc: (await overGrpc.metadata.get()).id,
      attribute: metadata.extended[key],
      backend: metadata.durahub.backend.type,
      name: state.workflowName,
      output: state.properties["dapr.workflow.output"],
      afterwards,
      by: "DaprClient",
    }),
  );
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
