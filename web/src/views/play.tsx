// The playground: calls an agent as a client would, and shows the answer as it comes, beside its growing trace.
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from 'react'
import { call, type Info, type Refusal, type Runtime, type Session, useData } from '../api'
import { duration, short } from '../format'
import { Text } from '../trace/text'
import { Copy, Empty, Figure, Link, Problem } from '../ui'
import { href, useQuery } from '../url'
import { snippets } from './snippets'

const Growing = lazy(() => import('./growing'))

const sessionHeader = 'X-Amzn-Bedrock-AgentCore-Runtime-Session-Id'
const newSession = () => 'console-' + crypto.randomUUID()
const ask = 'What can you do?'
const pretty = (v: unknown) => JSON.stringify(v, null, 2)

/** examples are what agents of each protocol understand. */
const examples: Record<string, string[]> = {
  HTTP: [`{"prompt": "${ask}"}`, `{"prompt": "${ask}", "stream": true}`],
  MCP: [
    pretty({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    pretty({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'NAME', arguments: {} } }),
    pretty({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'playground', version: '1' } } }),
  ],
  A2A: ['message/send', 'message/stream'].map((method) => pretty({ jsonrpc: '2.0', id: 1, method, params: { message: { role: 'user', messageId: '1', parts: [{ kind: 'text', text: ask }] } } })),
  AGUI: [pretty({ threadId: '1', runId: '1', state: {}, messages: [{ id: '1', role: 'user', content: ask }], tools: [], context: [], forwardedProps: {} })],
}
const isExample = (payload: string) => Object.values(examples).some((all) => all.includes(payload))

/** accepts is what a client of a protocol has to take; MCP's are refused else. */
export const accepts = (protocol: string) => (protocol === 'MCP' ? 'application/json, text/event-stream' : undefined)

export default function Play({ info }: { info?: Info }) {
  const { data } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const [chosen, choose] = useQuery('runtime')
  const [joined, setSession] = useQuery('session')
  const [fresh] = useState(newSession)
  const session = joined || fresh
  const runtime = data?.runtimes.find((r) => r.id === chosen) ?? data?.runtimes[0]
  const history = useHistory(runtime?.id)
  const offered = examples[runtime?.protocol ?? ''] ?? examples.HTTP!
  const [payload, setPayload] = useState(history.all[0] ?? offered[0]!)
  useEffect(() => setPayload((old) => (isExample(old) ? (history.all[0] ?? offered[0]!) : old)), [runtime?.id]) // what somebody wrote stays
  const turn = useTurn()
  if (data?.runtimes.length === 0) return <Empty title="No agent runs here yet" />
  if (!runtime) return null
  const send = () => {
    history.add(payload)
    turn.send(runtime, session, payload)
  }
  const fault = broken(payload)
  return (
    <div className="stack">
      <div className="bar">
        <select
          aria-label="Runtime"
          value={runtime.id}
          onChange={(e) => {
            setSession('')
            choose(e.target.value)
          }}
        >
          {data?.runtimes.map((r) => (
            <option key={r.id} value={r.id}>
              {r.name}
            </option>
          ))}
        </select>
        <Sessions runtime={runtime.id} session={session} choose={setSession} />
        <button onClick={() => setSession(newSession())}>New session</button>
        <span className="grow" />
        {turn.answered && (
          <Link to={href('/sessions/' + session)} className="link">
            Open the session
          </Link>
        )}
      </div>
      <div className="play">
        <div className="stack">
          <section className="panel">
            <header>
              <h2 className="grow">Payload</h2>
              <select aria-label="Earlier payloads and examples" value="" onChange={(e) => setPayload(e.target.value)}>
                <option value="">History</option>
                {[...new Set([...history.all, ...offered])].map((p) => (
                  <option key={p} value={p}>
                    {short(p, 60)}
                  </option>
                ))}
              </select>
            </header>
            <div className="body stack">
              <textarea aria-label="Payload" rows={6} value={payload} spellCheck={false} onChange={(e) => setPayload(e.target.value)} onKeyDown={(e) => e.key === 'Enter' && (e.metaKey || e.ctrlKey) && !turn.busy && send()} />
              <div className="bar">
                {turn.busy ? (
                  <button onClick={turn.cancel}>Cancel</button>
                ) : (
                  <button className="primary" onClick={send}>
                    Invoke
                  </button>
                )}
                <kbd className="dim wide">Ctrl Enter</kbd>
                {fault && <span className="dim">{fault}</span>}
                <span className="grow" />
                <CopyAs info={info} runtime={runtime} session={session} payload={payload} />
              </div>
            </div>
          </section>
          <section className="panel">
            <header>
              <h2 className="grow">Answer</h2>
              {turn.ms !== undefined && (
                <span className="dim">
                  {turn.firstMs !== undefined && (
                    <>
                      first byte after <Figure of={duration(turn.firstMs)} />,{' '}
                    </>
                  )}
                  <Figure of={duration(turn.ms)} />
                </span>
              )}
              {turn.answer && <Copy text={turn.answer} what="Copy the answer" />}
            </header>
            {turn.error && <Problem error={turn.error} />}
            <pre className="body answer" aria-live="polite" aria-busy={turn.busy}>
              {turn.answer ? <Text of={turn.answer} /> : <span className="dim">{turn.busy ? 'waiting for the agent' : turn.error ? '' : 'What the agent answers shows here as it comes.'}</span>}
            </pre>
          </section>
        </div>
        {turn.traceId ? (
          <Suspense fallback={null}>
            <Growing id={turn.traceId} busy={turn.busy} />
          </Suspense>
        ) : (
          <section className="panel">
            <header>
              <h2>Trace</h2>
            </header>
            <Empty title="No call yet">Its spans show here as they end.</Empty>
          </section>
        )}
      </div>
    </div>
  )
}

/** broken says what is wrong with a payload. It may be sent nevertheless: agents take what they like. */
function broken(payload: string): string {
  try {
    JSON.parse(payload)
    return ''
  } catch {
    return 'This is not JSON; it is sent as it is.'
  }
}

function Sessions({ runtime, session, choose }: { runtime: string; session: string; choose: (id: string) => void }) {
  const { data } = useData<{ sessions: Session[] }>('/v1/sessions?runtime=' + encodeURIComponent(runtime), 3000)
  const known = data?.sessions.map((s) => s.sessionId) ?? []
  return (
    <select aria-label="Session" className="mono session-choice" value={session} onChange={(e) => choose(e.target.value)}>
      {!known.includes(session) && <option value={session}>new: {short(session, 20)}</option>}
      {data?.sessions.map((s) => (
        <option key={s.id} value={s.sessionId}>
          {short(s.sessionId, 20)} ({s.state})
        </option>
      ))}
    </select>
  )
}

const remembered = 20

/** useHistory keeps the payloads that were sent to a runtime in this browser. */
function useHistory(runtime = '') {
  const key = 'payloads ' + runtime
  const [added, setAdded] = useState(0)
  const all = useMemo((): string[] => {
    try {
      return JSON.parse(localStorage.getItem(key) ?? '[]') as string[]
    } catch {
      return []
    }
  }, [key, added])
  const add = (payload: string) => {
    localStorage.setItem(key, JSON.stringify([payload, ...all.filter((p) => p !== payload)].slice(0, remembered)))
    setAdded(added + 1)
  }
  return { all, add }
}

interface Turn {
  answer: string
  busy: boolean
  answered: boolean
  traceId?: string
  firstMs?: number
  ms?: number
  error?: Refusal
}

/** hex makes an id of so many random bytes. */
const hex = (bytes: number) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, '0')).join('')

function useTurn() {
  const [state, setState] = useState<Turn>({ answer: '', busy: false, answered: false })
  const stop = useRef<AbortController>(undefined)
  useEffect(() => () => stop.current?.abort(), [])
  const send = async (runtime: Runtime, session: string, payload: string) => {
    stop.current = new AbortController()
    const began = performance.now()
    const passed = () => performance.now() - began
    const traceId = hex(16) // ours, so that its spans can be looked for before the answer is there
    setState({ answer: '', busy: true, answered: false, traceId })
    try {
      const response = await call('POST', `/runtimes/${encodeURIComponent(runtime.arn)}/invocations?qualifier=DEFAULT`, payload, {
        headers: { 'Content-Type': 'application/json', ...(accepts(runtime.protocol) && { Accept: accepts(runtime.protocol)! }), [sessionHeader]: session, traceparent: `00-${traceId}-${hex(8)}-01` },
        signal: stop.current.signal,
      })
      await read(response, (text) => setState((s) => ({ ...s, answered: true, answer: s.answer + text, firstMs: s.firstMs ?? passed(), ms: passed() })))
      setState((s) => ({ ...s, busy: false, answered: true, ms: passed() }))
    } catch (error) {
      const cancelled = (error as Error).name === 'AbortError'
      setState((s) => ({ ...s, busy: false, ms: passed(), error: cancelled ? undefined : (error as Refusal) }))
    }
  }
  return { ...state, send, cancel: () => stop.current?.abort() }
}

async function read(response: Response, each: (text: string) => void) {
  const events = response.headers.get('Content-Type')?.startsWith('text/event-stream')
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return rest && each(said(rest))
    if (!events) {
      each(value)
      continue
    }
    const parts = (rest + value).split(/\r?\n\r?\n/)
    rest = parts.pop()!
    if (parts.length) each(parts.map(said).join(''))
  }
}

/** said is the data of a server-sent event: a string as its text, anything else on a line of its own. */
function said(event: string): string {
  const data = event
    .split(/\r?\n/)
    .filter((l) => l.startsWith('data:'))
    .map((l) => l.slice(5).replace(/^ /, ''))
    .join('\n')
  try {
    const value: unknown = JSON.parse(data)
    return typeof value === 'string' ? value : data + '\n'
  } catch {
    return data && data + '\n'
  }
}

function CopyAs({ info, runtime, session, payload }: { info?: Info; runtime: Runtime; session: string; payload: string }) {
  return (
    <span className="bar copies">
      <span className="dim">copy as</span>
      {Object.entries(snippets({ endpoint: info?.endpoint ?? location.origin, region: info?.region ?? 'us-east-1', account: info?.account ?? '', id: runtime.id, arn: runtime.arn, name: runtime.name, session, payload, accept: accepts(runtime.protocol) })).map(([name, text]) => (
        <span key={name} className="copy-as">
          {name}
          <Copy text={text} what={`Copy as ${name}`} />
        </span>
      ))}
    </span>
  )
}
