// Models through the AWS SDK for JavaScript.

import assert from "node:assert/strict";
import test, { after } from "node:test";

import {
  BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand, CountTokensCommand, InvokeModelCommand, InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const client = new BedrockRuntimeClient({ maxAttempts: 1 });
after(() => client.destroy());

const modelId = "us.amazon.nova-lite-v1:0";
const facts = "NeuraHealth Solutions announced MediScan. It reached an accuracy of 94 percent.";
const messages = [{ role: "user", content: [{ text: facts }] }];
const lookup = { toolSpec: {
  name: "lookup", description: "Looks up facts.",
  inputSchema: { json: { type: "object", properties: { query: { type: "string" } }, required: ["query"] } },
} };

async function all(stream) {
  const out = [];
  for await (const event of stream) out.push(event);
  return out;
}

test("Converse answers, and says what it took", async () => {
  const answer = await client.send(new ConverseCommand({ modelId, messages, inferenceConfig: { maxTokens: 500, temperature: 0 } }));
  assert.match(answer.output.message.content[0].text, /94 percent/);
  assert.equal(answer.stopReason, "end_turn");
  assert.equal(answer.usage.totalTokens, answer.usage.inputTokens + answer.usage.outputTokens);
});

test("ConverseStream sends a tool's input in pieces that are JSON together", async () => {
  const { stream } = await client.send(new ConverseStreamCommand({
    modelId, system: [{ text: "1. Call the lookup tool with the user's request.\n2. Answer." }],
    messages: [{ role: "user", content: [{ text: "Oslo" }] }], toolConfig: { tools: [lookup] },
  }));
  const events = await all(stream);
  const names = events.map((e) => Object.keys(e)[0]);
  assert.equal(names[0], "messageStart");
  assert.deepEqual(names.slice(-2), ["messageStop", "metadata"]);
  const use = events.find((e) => e.contentBlockStart?.start.toolUse).contentBlockStart.start.toolUse;
  assert.equal(use.name, "lookup");
  const input = events.map((e) => e.contentBlockDelta?.delta.toolUse?.input ?? "").join("");
  assert.match(JSON.parse(input).query, /Oslo/);
  assert.equal(events.at(-2).messageStop.stopReason, "tool_use");
  assert.ok(events.at(-1).metadata.usage.totalTokens > 0);
});

test("an ARN names a model, and one that nobody answers for is refused", async () => {
  const arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0";
  assert.ok((await client.send(new ConverseCommand({ modelId: arn, messages }))).output);
  await assert.rejects(client.send(new ConverseCommand({ modelId: "nobody.has-this", messages })), { name: "ResourceNotFoundException" });
});

test("InvokeModel takes Anthropic's form, whole and in pieces, and tokens are counted", async () => {
  const body = JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 300, messages: [{ role: "user", content: facts }] });
  const claude = "us.anthropic.claude-3-5-haiku-20241022-v1:0";
  const answer = JSON.parse(new TextDecoder().decode((await client.send(new InvokeModelCommand({ modelId: claude, body }))).body));
  assert.match(answer.content[0].text, /94 percent/);
  const { body: pieces } = await client.send(new InvokeModelWithResponseStreamCommand({ modelId: claude, body }));
  const types = (await all(pieces)).map((p) => JSON.parse(new TextDecoder().decode(p.chunk.bytes)).type);
  assert.equal(types[0], "message_start");
  assert.equal(types.at(-1), "message_stop");
  const { inputTokens } = await client.send(new CountTokensCommand({ modelId: claude, input: { converse: { messages } } }));
  assert.ok(inputTokens > 10);
});
