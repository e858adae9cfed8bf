// A harbour master's assistant on Strands for TypeScript: a model and its tool.
import { createServer, type IncomingMessage } from 'node:http'
import { Agent, BedrockModel, tool } from '@strands-agents/sdk'
import { z } from 'zod'

const tideTable = tool({
  name: 'tide_table',
  description: 'Says when it is high water in a harbour today.',
  inputSchema: z.object({ harbour: z.string().describe('name of the harbour') }),
  callback: ({ harbour }) => `High water in ${harbour} is at 04:12 and 16:38.`,
})

async function reply(request: IncomingMessage): Promise<object> {
  if (request.url === '/ping') return { status: 'Healthy' }
  let body = ''
  for await (const piece of request) body += piece
  const assistant = new Agent({
    model: new BedrockModel({ modelId: 'us.amazon.nova-pro-v1:0' }),
    systemPrompt: "You are a harbour master's assistant. Look up high water with the tide_table tool, and answer with what it says.",
    tools: [tideTable],
    printer: false,
  })
  return { answer: String(await assistant.invoke(JSON.parse(body).prompt)) }
}

// What an agent is: a web server on port 8080 with /invocations and /ping.
createServer(async (request, response) => {
  const [status, answer] = await reply(request).then((a) => [200, a], (e) => [500, { error: String(e) }])
  response.writeHead(status as number, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
}).listen(8080)
