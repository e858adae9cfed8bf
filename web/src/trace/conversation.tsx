// A session as what was said: one turn for each trace, in order.
import { useState } from 'react'
import { clock, count, duration, money } from '../format'
import { Empty, Figure, Link } from '../ui'
import { href } from '../url'
import { Messages, plain, Value } from './content'
import { Text } from './text'
import type { SessionTrace, Span, Trace } from './types'

export function Conversation({ of }: { of?: SessionTrace }) {
  if (!of) return <div className="turn" aria-hidden><span className="skeleton" /><span className="skeleton" /></div>
  if (of.traces.length === 0) return <Empty title="No turn of this session yet">The next call shows here as soon as it is answered.</Empty>
  return (
    <div className="conversation">
      {of.traces.map((t, i) => (
        <Turn key={t.traceId} trace={t} number={i + 1} />
      ))}
      {of.cut && <p className="turn dim">The session has more turns than one page holds; the traces list them all.</p>}
    </div>
  )
}

/** exchange is what the outermost spans that have messages heard first and said last. */
function exchange(t: Trace): { asked: string; said: string; spans: Span[] } {
  const speaking = t.spans.filter((s) => s.input?.length || s.output?.length)
  const depth = Math.min(...speaking.map((s) => s.depth))
  const spans = speaking.filter((s) => s.depth === depth).sort((a, b) => a.offsetMs - b.offsetMs)
  const asked = spans[0]?.input?.findLast((m) => m.role === 'user')
  const said = spans.findLast((s) => plain(s.output, 'assistant'))
  return { asked: plain(asked && [asked], 'user'), said: plain(said?.output, 'assistant'), spans }
}

function Turn({ trace: t, number }: { trace: Trace; number: number }) {
  const { asked, said, spans } = exchange(t)
  const tokens = t.inputTokens + t.outputTokens
  const printed = t.logs.filter((l) => l.stream !== 'otel')
  return (
    <article className="turn">
      <header>
        <Link to={href('/traces/' + t.traceId)} className="link">
          Turn {number}
        </Link>
        <time className="num dim" dateTime={t.start} title={t.start}>
          {clock(t.start)}
        </time>
        <Figure of={duration(t.durationMs)} />
        {tokens > 0 && (
          <span className="dim">
            <Figure of={count(tokens)} /> tok
          </span>
        )}
        {t.costUsd > 0 && (
          <span className="dim">
            <Figure of={money(t.costUsd)} />
          </span>
        )}
      </header>
      {asked && <Said by="user" text={asked} />}
      <Tools of={t} />
      {said && <Said by="assistant" text={said} />}
      {!asked && !said && spans.length > 0 && <Messages of={spans.flatMap((s) => [...(s.input ?? []), ...(s.output ?? [])])} />}
      {spans.length === 0 && (
        <p className="dim">
          The agent reported no messages.{' '}
          {printed.length > 0 && 'It printed:'}
        </p>
      )}
      {spans.length === 0 && printed.length > 0 && <pre className="value">{printed.slice(0, 20).map((l) => <div key={l.id}><Text of={l.message} /></div>)}</pre>}
      {t.error && (
        <div className="notice bad">
          <pre>
            <Text of={t.error} />
          </pre>
        </div>
      )}
    </article>
  )
}

/** Tools are a turn's calls of tools, folded into one line until they are asked for. */
function Tools({ of: t }: { of: Trace }) {
  const tools = t.spans.filter((s) => s.kind === 'tool' && !s.noise)
  if (tools.length === 0) return null
  const times = new Map<string, number>()
  for (const s of tools) times.set(s.tool?.name ?? s.name, (times.get(s.tool?.name ?? s.name) ?? 0) + 1)
  const outermost = Math.min(...tools.map((s) => s.depth))
  return (
    <details className="tools">
      <summary>
        <span className="dim">{tools.length === 1 ? 'one tool call' : `${tools.length} tool calls`}</span>
        <span className="cut">{[...times].map(([name, n]) => (n > 1 ? `${name} ×${n}` : name)).join(', ')}</span>
      </summary>
      {tools.map((s) => (
        <details key={s.spanId} className="kind-tool" style={{ marginLeft: Math.min(6, s.depth - outermost) * 4 }}>
          <summary>
            <span className="mark" /> <code>{s.tool?.name ?? s.name}</code> <Figure of={duration(s.durationMs)} />
            {s.error && <span className="status bad cut">{s.error}</span>}
          </summary>
          <Value of={s.tool?.arguments} />
          <Value of={s.tool?.result} />
        </details>
      ))}
    </details>
  )
}

const long = 1200 // characters of a message that show before it is opened

function Said({ by, text }: { by: string; text: string }) {
  const [open, setOpen] = useState(false)
  return (
    <div className={'said ' + by}>
      <b>{by}</b>
      <div className="text">
        <Text of={open || text.length <= long ? text : text.slice(0, long) + '…'} />
      </div>
      {text.length > long && (
        <button className="plain link" onClick={() => setOpen(!open)}>
          {open ? 'Less' : `All ${text.length} characters`}
        </button>
      )}
    </div>
  )
}
