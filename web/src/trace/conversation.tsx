// A session as what was said: one turn for each trace, in order.
import { useState } from 'react'
import { clock, count, duration, money } from '../format'
import { Empty, Figure, Link } from '../ui'
import { href } from '../url'
import { Messages, plain, Value } from './content'
import type { SessionTrace, Span, Trace } from './types'

export function Conversation({ of }: { of?: SessionTrace }) {
  if (!of) return null
  if (of.traces.length === 0) return <Empty title="No trace of this session yet">The next call shows here as soon as it is answered.</Empty>
  return (
    <div className="conversation">
      {of.traces.map((t) => (
        <Turn key={t.traceId} trace={t} />
      ))}
    </div>
  )
}

/** spoken is the span whose messages are the turn: the outermost that has any. */
function spoken(t: Trace): Span | undefined {
  return t.spans.filter((s) => s.input?.length || s.output?.length).sort((a, b) => a.depth - b.depth || a.offsetMs - b.offsetMs)[0]
}

function Turn({ trace: t }: { trace: Trace }) {
  const span = spoken(t)
  const asked = plain(span?.input, 'user')
  const said = plain(span?.output, 'assistant')
  const tools = t.spans.filter((s) => s.kind === 'tool' && !s.noise)
  const tokens = t.inputTokens + t.outputTokens
  return (
    <article className="turn">
      <header>
        <time className="num dim" dateTime={t.start}>
          {clock(t.start)}
        </time>
        <Link to={href('/traces/' + t.traceId)} className="link">
          {t.name}
        </Link>
        <Figure of={duration(t.durationMs)} />
        {tokens > 0 && (
          <span className="dim num">
            <Figure of={count(tokens)} /> tok
          </span>
        )}
        {t.costUsd > 0 && <span className="dim"><Figure of={money(t.costUsd)} /></span>}
      </header>
      {asked && <Said by="user" text={asked} />}
      {tools.map((s) => (
        <details key={s.spanId} className="message tool">
          <summary>
            <b>tool</b> <code>{s.tool?.name ?? s.name}</code> <Figure of={duration(s.durationMs)} />
            {s.error && <span className="status bad"> {s.error}</span>}
          </summary>
          <Value of={s.tool?.arguments} />
          <Value of={s.tool?.result} />
        </details>
      ))}
      {said && <Said by="assistant" text={said} />}
      {!asked && !said && span && <Messages of={[...(span.input ?? []), ...(span.output ?? [])]} />}
      {t.error && (
        <div className="notice bad">
          <pre>{t.error}</pre>
        </div>
      )}
    </article>
  )
}

const long = 1200 // characters of a message that show before it is opened

function Said({ by, text }: { by: string; text: string }) {
  const [open, setOpen] = useState(false)
  return (
    <div className={'said ' + by}>
      <b>{by}</b>
      <div className="text">{open || text.length <= long ? text : text.slice(0, long) + '…'}</div>
      {text.length > long && (
        <button className="plain link" onClick={() => setOpen(!open)}>
          {open ? 'Less' : `All ${text.length} characters`}
        </button>
      )}
    </div>
  )
}
