// The playground: calls an agent as a client would, and shows the answer as it comes.
import { useEffect, useRef, useState } from 'react'
import { call, type Info, type Refusal, type Runtime, useData } from '../api'
import { duration } from '../format'
import { Copy, Empty, Figure, Link, Problem } from '../ui'
import { href, useQuery } from '../url'

const sessionHeader = 'X-Amzn-Bedrock-AgentCore-Runtime-Session-Id'
const newSession = () => 'console-' + crypto.randomUUID()

export default function Play({ info }: { info?: Info }) {
  const { data } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const [chosen, choose] = useQuery('runtime')
  const [session, setSession] = useState(newSession)
  const runtime = data?.runtimes.find((r) => r.id === chosen) ?? data?.runtimes[0]
  const [payload, setPayload] = useState('{"prompt": "What can you do?"}')
  const turn = useTurn()
  if (data?.runtimes.length === 0) return <Empty title="No agent runs here yet" />
  if (!runtime) return null
  const send = () => turn.send(runtime, session, payload)
  return (
    <div className="stack">
      <div className="bar">
        <select aria-label="Runtime" value={runtime.id} onChange={(e) => choose(e.target.value)}>
          {data?.runtimes.map((r) => (
            <option key={r.id} value={r.id}>
              {r.name}
            </option>
          ))}
        </select>
        <span className="mono dim cut">session {session}</span>
        <button onClick={() => setSession(newSession())}>New session</button>
      </div>
      <div className="split">
        <section className="panel">
          <header>
            <h2 className="grow">Payload</h2>
            <CopyAs info={info} runtime={runtime} session={session} payload={payload} />
          </header>
          <div className="body stack">
            <textarea aria-label="Payload" rows={8} value={payload} spellCheck={false} onChange={(e) => setPayload(e.target.value)} onKeyDown={(e) => e.key === 'Enter' && (e.metaKey || e.ctrlKey) && send()} />
            <div className="bar">
              {turn.busy ? (
                <button onClick={turn.cancel}>Cancel</button>
              ) : (
                <button className="primary" onClick={send}>
                  Invoke
                </button>
              )}
              <span className="dim">Ctrl Enter</span>
              <span className="grow" />
              {turn.ms !== undefined && <Figure of={duration(turn.ms)} />}
              {turn.answered && (
                <Link to={href('/sessions/' + session)} className="link">
                  Session
                </Link>
              )}
            </div>
          </div>
        </section>
        <section className="panel">
          <header>
            <h2 className="grow">Answer</h2>
            {turn.answer && <Copy text={turn.answer} what="Copy the answer" />}
          </header>
          {turn.error && <Problem error={turn.error} />}
          <pre className="body answer">{turn.answer || (turn.busy ? '…' : ' ')}</pre>
        </section>
      </div>
    </div>
  )
}

function useTurn() {
  const [state, setState] = useState<{ answer: string; busy: boolean; answered: boolean; ms?: number; error?: Refusal }>({ answer: '', busy: false, answered: false })
  const stop = useRef<AbortController>(undefined)
  useEffect(() => () => stop.current?.abort(), [])
  const send = async (runtime: Runtime, session: string, payload: string) => {
    stop.current = new AbortController()
    const began = performance.now()
    setState({ answer: '', busy: true, answered: false })
    try {
      const response = await call('POST', `/runtimes/${encodeURIComponent(runtime.arn)}/invocations?qualifier=DEFAULT`, payload, {
        headers: { 'Content-Type': 'application/json', [sessionHeader]: session },
        signal: stop.current.signal,
      })
      await read(response, (text) => setState((s) => ({ ...s, answered: true, answer: s.answer + text, ms: performance.now() - began })))
      setState((s) => ({ ...s, busy: false, answered: true, ms: performance.now() - began }))
    } catch (error) {
      const cancelled = (error as Error).name === 'AbortError'
      setState((s) => ({ ...s, busy: false, ms: performance.now() - began, error: cancelled ? undefined : (error as Refusal) }))
    }
  }
  return { ...state, send, cancel: () => stop.current?.abort() }
}

async function read(response: Response, each: (text: string) => void) {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    each(value)
  }
}

function CopyAs({ info, runtime, session, payload }: { info?: Info; runtime: Runtime; session: string; payload: string }) {
  const command = `moorage invoke --name ${runtime.name} --session ${session} '${payload.replaceAll("'", `'\\''`)}'`
  const python = `import boto3

client = boto3.client("bedrock-agentcore", endpoint_url="${info?.endpoint ?? ''}")
answer = client.invoke_agent_runtime(
    agentRuntimeArn="${runtime.arn}",
    runtimeSessionId="${session}",
    payload=${JSON.stringify(payload)}.encode(),
)
print(answer["response"].read().decode())`
  return (
    <>
      <span className="dim">command</span>
      <Copy text={command} what="Copy as a command" />
      <span className="dim">boto3</span>
      <Copy text={python} what="Copy as Python" />
    </>
  )
}
