// Knowledge bases through the AWS SDK for JavaScript: passages, and answers with their sources, whole and in pieces.

import assert from "node:assert/strict";
import test, { after } from "node:test";

import { BedrockAgentRuntimeClient, RetrieveAndGenerateCommand, RetrieveAndGenerateStreamCommand, RetrieveCommand } from "@aws-sdk/client-bedrock-agent-runtime";

const client = new BedrockAgentRuntimeClient({ maxAttempts: 1 });
const knowledgeBaseId = process.env.KNOWLEDGE_BASE_ID;
const question = {
  input: { text: "What is the keel made of?" },
  retrieveAndGenerateConfiguration: { type: "KNOWLEDGE_BASE", knowledgeBaseConfiguration: { knowledgeBaseId, modelArn: "us.amazon.nova-micro-v1:0" } },
};

after(() => client.destroy());

test("passages name their source", async () => {
  const { retrievalResults } = await client.send(new RetrieveCommand({ knowledgeBaseId, retrievalQuery: { text: "keel" } }));
  assert.match(retrievalResults[0].content.text, /oak/);
  assert.match(retrievalResults[0].location.s3Location.uri, /^s3:\/\/.*boats\.md$/);
});

test("an answer streams as it is whole, and cites", async () => {
  const whole = await client.send(new RetrieveAndGenerateCommand(question));
  assert.ok(whole.citations.length > 0);
  const { stream } = await client.send(new RetrieveAndGenerateStreamCommand(question));
  let text = "", citations = 0;
  for await (const event of stream) {
    text += event.output?.text ?? "";
    citations += event.citation ? 1 : 0;
  }
  assert.equal(text, whole.output.text);
  assert.equal(citations, whole.citations.length);
});

test("a base that is not there is said to be", async () => {
  await assert.rejects(client.send(new RetrieveCommand({ knowledgeBaseId: "AAAAAAAAAA", retrievalQuery: { text: "x" } })), { name: "ResourceNotFoundException" });
});
