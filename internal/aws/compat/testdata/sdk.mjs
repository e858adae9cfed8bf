// The JavaScript SDK against both planes. Arguments: URL. Exits 0 when all is as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/"); // where the SDK is installed
const Control = require("@aws-sdk/client-bedrock-agentcore-control");
const Data = require("@aws-sdk/client-bedrock-agentcore");

const ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij";
const SESSION = "0123456789abcdef0123456789abcdef-session";
const url = process.argv[2];
const common = { region: "us-east-1", endpoint: url, credentials: { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "secret" } };
const control = new Control.BedrockAgentCoreControlClient(common);
const data = new Data.BedrockAgentCoreClient(common);

async function refused(call, name) {
  const error = await call.then(() => assert.fail(`${name} expected`), (e) => e);
  assert.equal(error.name, name);
  assert.ok(error.$metadata.requestId);
  return error;
}

const create = (agentRuntimeName) =>
  control.send(new Control.CreateAgentRuntimeCommand({
    agentRuntimeName, roleArn: "arn:aws:iam::123456789012:role/r",
    agentRuntimeArtifact: { containerConfiguration: { containerUri: "localhost:9400/x:1" } },
  }));
const made = await create("demo");
assert.equal(made.agentRuntimeArn, ARN);
assert.equal(made.createdAt.getUTCFullYear(), 2026);

const got = await control.send(new Control.GetAgentRuntimeCommand({ agentRuntimeId: "demo-abcdefghij" }));
assert.deepEqual(got.agentRuntimeArtifact.codeConfiguration.entryPoint, ["main.py"]);
let listed = 0;
for await (const page of Control.paginateListAgentRuntimes({ client: control, pageSize: 5 }, {})) listed += page.agentRuntimes.length;
assert.equal(listed, 1);
await control.send(new Control.TagResourceCommand({ resourceArn: ARN, tags: { k: "v" } }));
const identity = await control.send(new Control.GetWorkloadIdentityCommand({ name: "demo" }));
assert.equal(identity.createdTime.getUTCFullYear(), 2026);

const invalid = await refused(create("0bad"), "ValidationException");
assert.deepEqual(invalid.fieldList.map((f) => f.name), ["agentRuntimeName"]);
await refused(create("taken"), "ConflictException");
const unsupported = await refused(control.send(new Control.ListGatewaysCommand({})), "UnsupportedOperationException");
assert.equal(unsupported.$metadata.attempts, 1);

const invoke = (payload, runtimeSessionId = SESSION) =>
  data.send(new Data.InvokeAgentRuntimeCommand({ agentRuntimeArn: ARN, runtimeSessionId, payload }));
const stream = await invoke("hello");
assert.equal(stream.runtimeSessionId, SESSION);
const chunks = stream.response[Symbol.asyncIterator]();
assert.equal(Buffer.from((await chunks.next()).value).toString(), `data: ${ARN} hello\n\n`);
await fetch(url + "/release"); // the rest was held back until now
assert.equal(Buffer.from((await chunks.next()).value).toString(), "data: end\n\n");
assert.ok((await chunks.next()).done);

assert.equal((await refused(invoke("fail agent_failed"), "RuntimeClientError")).$metadata.httpStatusCode, 424);
await refused(invoke("fail quota_exceeded"), "ServiceQuotaExceededException");
const short = await refused(invoke("x", "testsession123"), "ValidationException"); // this SDK leaves the check to the server
assert.deepEqual(short.fieldList.map((f) => f.name), ["runtimeSessionId"]);

const command = (text) => data.send(new Data.InvokeAgentRuntimeCommandCommand({ agentRuntimeArn: ARN, body: { command: text } }));
const kinds = [];
for await (const event of (await command("ls")).stream) kinds.push(Object.keys(event.chunk).join());
assert.deepEqual(kinds, ["contentStart", "", "contentDelta", "contentStop"]);
await refused((async () => { for await (const _ of (await command("fail")).stream); })().catch((e) => {
  e.$metadata ??= {};
  e.$metadata.requestId ??= "in the stream"; // an event has no request id
  throw e;
}), "RuntimeClientError");

const stopped = await data.send(new Data.StopRuntimeSessionCommand({ agentRuntimeArn: ARN, runtimeSessionId: SESSION }));
assert.equal(stopped.statusCode, 200);
const card = await data.send(new Data.GetAgentCardCommand({ agentRuntimeArn: ARN }));
assert.deepEqual(card.agentCard, { name: "demo", skills: [{ id: 1 }] });
