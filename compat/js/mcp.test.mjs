// MCP servers driven by the official TypeScript client: contract §1.6.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import test from "node:test";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { SignatureV4 } from "@smithy/signature-v4";

const { agents } = JSON.parse(process.env.COMPAT);
const endpoint = new URL(process.env.AWS_ENDPOINT_URL);

class Sha256 {
  constructor(secret) {
    this.hash = secret ? createHmac("sha256", secret) : createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return this.hash.digest();
  }
}

const signer = new SignatureV4({
  service: "bedrock-agentcore", region: process.env.AWS_REGION, sha256: Sha256,
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY },
});

// signed is fetch with SigV4, as a client of a runtime without bearer tokens needs it.
const signed = (seen) => async (url, init) => {
  const target = new URL(url);
  const headers = { ...Object.fromEntries(new Headers(init.headers)), host: target.host };
  const request = await signer.sign({
    method: init.method, protocol: target.protocol, hostname: target.hostname, port: Number(target.port), path: target.pathname,
    query: Object.fromEntries(target.searchParams), headers, body: init.body,
  });
  const answer = await fetch(url, { ...init, headers: request.headers });
  seen.push({ method: init.method, status: answer.status, session: answer.headers.get("mcp-session-id") });
  return answer;
};

async function connected(arn, use) {
  const seen = [], errors = [];
  const transport = new StreamableHTTPClientTransport(new URL(`/runtimes/${encodeURIComponent(arn)}/invocations?qualifier=DEFAULT`, endpoint), { fetch: signed(seen) });
  const client = new Client({ name: "compat", version: "1.0.0" });
  client.onerror = (e) => errors.push(e);
  await client.connect(transport);
  try {
    await use(client, seen);
  } finally {
    await client.close();
  }
  assert.deepEqual(errors, [], "the client meets nothing that it takes for an error, a GET that is refused included");
}

async function whoami(client, word) {
  const answer = await client.callTool({ name: "whoami", arguments: { word } });
  return JSON.parse(answer.content[0].text);
}

const ids = (seen) => new Set(seen.filter((r) => r.method === "POST").map((r) => r.session));

for (const [name, arn] of Object.entries(agents).filter(([name]) => name.startsWith("mcp_node"))) {
  test(`${name}: one session, one process`, () => connected(arn, async (client, seen) => {
    assert.deepEqual((await client.listTools()).tools.map((t) => t.name), ["whoami"]);
    const first = await whoami(client, "one"), second = await whoami(client, "two");
    assert.equal(first.boot, second.boot);
    assert.equal(second.word, "two");
    assert.deepEqual([...ids(seen)], [first.session]);
    assert.equal(second.count, name.endsWith("stateful") ? 2 : 1);
  }));
}

test("a server on the Python SDK", () => connected(agents.mcp_stateful, async (client) => {
  const answer = await client.callTool({ name: "add", arguments: { a: 2, b: 40 } });
  assert.equal(answer.content[0].text, "42");
}));

test("a tool that ends its server is an error with the platform's code", () => connected(agents.mcp_stateful, async (client) => {
  await assert.rejects(client.callTool({ name: "die", arguments: {} }), (e) => e.code === -32010 && /status 3/.test(e.message));
}));
