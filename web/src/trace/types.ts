// What GET /v1/traces… answers: see internal/telemetry/view.go.

export interface Usage {
  inputTokens: number
  outputTokens: number
  cachedTokens?: number
  cacheWrittenTokens?: number
  reasoningTokens?: number
}

export interface TraceSummary extends Usage {
  traceId: string
  sessionId?: string
  callerSessionId?: string
  runtime?: string
  endpoint?: string
  name: string
  start: string
  end: string
  durationMs: number
  rooted: boolean
  spans: number
  hidden: number
  errors: number
  error?: string
  modelCalls: number
  toolCalls: number
  costUsd: number
}

export interface Trace extends Omit<TraceSummary, 'spans'> {
  spans: Span[]
  resources: Record<string, unknown>[]
  logs: Log[]
}

export type Kind = 'service' | 'agent' | 'model' | 'tool' | 'retrieval' | 'memory' | 'http' | 'internal'

export interface Span {
  spanId: string
  parentId?: string
  reportedId?: string
  depth: number
  name: string
  kind: Kind
  noise?: boolean
  start: string
  offsetMs: number
  durationMs: number
  selfMs: number
  status: string
  error?: string
  agent?: string
  model?: ModelCall
  tool?: ToolCall
  input?: Message[]
  output?: Message[]
  spanKind: string
  scope?: string
  resource: number
  attributes: Record<string, unknown>
  events?: { name: string; time: string; attributes?: Record<string, unknown> }[]
}

export interface ModelCall extends Usage {
  name?: string
  provider?: string
  costUsd: number
  priced: boolean
  counted: boolean
  firstTokenMs?: number
  finishReason?: string
}

export interface ToolCall {
  name?: string
  callId?: string
  arguments?: unknown
  result?: unknown
}

export interface Message {
  role: string
  parts: Part[]
  finishReason?: string
}

export interface Part {
  type: string
  text?: string
  name?: string
  callId?: string
  value?: unknown
}

export interface Log {
  id: string
  time: string
  stream: string
  severity?: string
  message: string
  body?: unknown
  attributes?: Record<string, unknown>
  traceId?: string
  spanId?: string
  sessionId?: string
  runtime?: string
  inferred?: boolean
}

export interface SessionSummary extends Usage {
  sessionId: string
  callerSessionId?: string
  runtime?: string
  endpoint?: string
  first: string
  last: string
  traces: number
  spans: number
  errors: number
  modelCalls: number
  toolCalls: number
  costUsd: number
  p50Ms: number
  p95Ms: number
}

export interface SessionTrace {
  session: SessionSummary
  traces: Trace[]
  logs: Log[]
  cut: boolean
}
