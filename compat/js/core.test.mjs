// The core path through the AWS SDK for JavaScript: create, invoke, stream, command, stop, errors.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test, { after } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import {
  BedrockAgentCoreClient, InvokeAgentRuntimeCommand, InvokeAgentRuntimeCommandCommand, StopRuntimeSessionCommand,
} from "@aws-sdk/client-bedrock-agentcore";
import {
  BedrockAgentCoreControlClient, CreateAgentRuntimeCommand, DeleteAgentRuntimeCommand, GetAgentRuntimeCommand, paginateListAgentRuntimes,
} from "@aws-sdk/client-bedrock-agentcore-control";

const { account, probe, code } = JSON.parse(process.env.COMPAT);
const data = new BedrockAgentCoreClient({ maxAttempts: 1 });
const control = new BedrockAgentCoreControlClient({ maxAttempts: 1 });
const sessionId = () => `compat-js-${randomUUID()}`;

async function invoke(payload, more = {}) {
  return data.send(new InvokeAgentRuntimeCommand({ agentRuntimeArn: probe, contentType: "application/json", payload: JSON.stringify(payload), ...more }));
}

after(() => { // connections that are kept open would keep the process
  data.destroy();
  control.destroy();
});

const json = async (answer) => JSON.parse(await answer.response.transformToString());

test("a runtime is created, listed and deleted", async () => {
  const made = await control.send(new CreateAgentRuntimeCommand({
    agentRuntimeName: `js_${randomUUID().slice(0, 8)}`, roleArn: `arn:aws:iam::${account}:role/compat`, networkConfiguration: { networkMode: "PUBLIC" },
    agentRuntimeArtifact: { codeConfiguration: { code: { s3: code }, runtime: "PYTHON_3_11", entryPoint: ["main.py"] } },
  }));
  assert.equal(made.status, "CREATING");
  assert.ok(made.createdAt instanceof Date);
  const id = made.agentRuntimeId;
  const deadline = Date.now() + 120_000;
  let got;
  do {
    assert.ok(Date.now() < deadline, "still not READY");
    await pause(50);
    got = await control.send(new GetAgentRuntimeCommand({ agentRuntimeId: id }));
  } while (got.status === "CREATING");
  assert.equal(got.status, "READY", got.failureReason);
  let found = false;
  for await (const page of paginateListAgentRuntimes({ client: control, pageSize: 2 }, {})) {
    found ||= page.agentRuntimes.some((r) => r.agentRuntimeId === id);
  }
  assert.ok(found, "the runtime is not in the list");
  await control.send(new DeleteAgentRuntimeCommand({ agentRuntimeId: id }));
});

test("a session remembers", async () => {
  const runtimeSessionId = sessionId();
  for (const turn of [1, 2, 3]) {
    const answer = await invoke({ op: "state" }, { runtimeSessionId });
    assert.equal(answer.runtimeSessionId, runtimeSessionId);
    assert.equal((await json(answer)).count, turn);
  }
});

test("a session id is minted", async () => {
  const answer = await invoke({ op: "state" });
  await json(answer);
  assert.ok(answer.runtimeSessionId.length >= 33, answer.runtimeSessionId);
});

test("a stream comes event by event", async () => {
  const runtimeSessionId = sessionId();
  const answer = await invoke({ op: "stream" }, { runtimeSessionId, accept: "text/event-stream" });
  assert.match(answer.contentType, /^text\/event-stream/);
  let text = "";
  let released = false;
  for await (const chunk of answer.response) {
    text += Buffer.from(chunk).toString();
    if (!released) { // the agent waits for this before it sends on
      assert.equal(text.split("\n\n").length - 1, 1, text);
      released = true;
      await json(await invoke({ op: "release" }, { runtimeSessionId }));
    }
  }
  const events = text.split("\n\n").filter(Boolean).map((e) => JSON.parse(e.slice("data: ".length)).n);
  assert.deepEqual(events, [1, 2, 3]);
});

test("a command's events come in order", async () => {
  const answer = await data.send(new InvokeAgentRuntimeCommandCommand({
    agentRuntimeArn: probe, runtimeSessionId: sessionId(), body: { command: "echo out; echo err >&2; exit 3" },
  }));
  let [stdout, stderr] = ["", ""];
  const chunks = [];
  for await (const event of answer.stream) {
    chunks.push(event.chunk);
    stdout += event.chunk.contentDelta?.stdout ?? "";
    stderr += event.chunk.contentDelta?.stderr ?? "";
  }
  assert.ok(chunks[0].contentStart);
  assert.deepEqual([stdout, stderr], ["out\n", "err\n"]);
  assert.deepEqual({ ...chunks.at(-1).contentStop }, { exitCode: 3, status: "COMPLETED" });
});

test("a stopped session is gone", async () => {
  const runtimeSessionId = sessionId();
  await json(await invoke({ op: "state" }, { runtimeSessionId }));
  const stop = () => data.send(new StopRuntimeSessionCommand({ agentRuntimeArn: probe, runtimeSessionId }));
  assert.equal((await stop()).statusCode, 200);
  await assert.rejects(stop(), { name: "ResourceNotFoundException" });
});

test("errors have their names", async () => {
  // This SDK does not check the length of a session id: the server must.
  await assert.rejects(invoke({}, { runtimeSessionId: "x".repeat(32) }), (e) => e.name === "ValidationException" && e.reason === "FieldValidationFailed" && e.fieldList.length > 0);
  await assert.rejects(invoke({}, { qualifier: "nowhere" }), { name: "ResourceNotFoundException" });
  await assert.rejects(invoke({ op: "status", code: 500 }), (e) => e.name === "RuntimeClientError" && e.$metadata.httpStatusCode === 424);
});
