// An MCP server on the official TypeScript SDK. STATEFUL=1 makes it keep sessions, as its examples do.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const boot = randomUUID();
const stateful = Boolean(process.env.STATEFUL);
const sessions = new Map();

function newServer() {
  let count = 0;
  const server = new McpServer({ name: "compat", version: "1.0.0" });
  server.registerTool("whoami", { description: "Says which process answers.", inputSchema: { word: z.string() } }, async ({ word }, { requestInfo }) => {
    count += 1;
    const session = requestInfo.headers["mcp-session-id"] ?? "";
    return { content: [{ type: "text", text: JSON.stringify({ boot, session, count, word }) }] };
  });
  return server;
}

async function open(options) {
  const transport = new StreamableHTTPServerTransport(options);
  await newServer().connect(transport);
  return transport;
}

async function transportFor(request, body) {
  if (!stateful) return open({ sessionIdGenerator: undefined });
  const id = request.headers["mcp-session-id"];
  if (id) return sessions.get(id);
  if (!isInitializeRequest(body)) return undefined;
  const transport = await open({ sessionIdGenerator: randomUUID, onsessioninitialized: (made) => sessions.set(made, transport) });
  return transport;
}

createServer(async (request, response) => {
  if (request.method !== "POST" || request.url !== "/mcp") return response.writeHead(404).end();
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks));
  const transport = await transportFor(request, body);
  if (!transport) return response.writeHead(400).end();
  await transport.handleRequest(request, response, body);
}).listen(8000, "0.0.0.0");
