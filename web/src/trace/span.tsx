// The panel beside the waterfall: everything that is known of one span.
import type { ReactNode } from 'react'
import { clock, count, duration, money } from '../format'
import { Copy, Figure } from '../ui'
import { useQuery } from '../url'
import { Messages, Value } from './content'
import { Text } from './text'
import type { Log, Span, Trace } from './types'

const tabs = ['Overview', 'Attributes', 'Events', 'Logs', 'Raw'] as const

export function SpanPanel({ span, trace, close }: { span: Span; trace: Trace; close: () => void }) {
  const [chosen, setTab] = useQuery('tab', 'Overview')
  const tab = tabs.find((t) => t === chosen) ?? 'Overview'
  const logs = trace.logs.filter((l) => l.spanId === span.spanId)
  const counts: Partial<Record<(typeof tabs)[number], number>> = { Attributes: Object.keys(span.attributes).length, Events: span.events?.length ?? 0, Logs: logs.length }
  return (
    <section className={'panel span-panel kind-' + span.kind} aria-label="Span" tabIndex={-1} onKeyDown={(e) => e.key === 'Escape' && close()}>
      <header>
        <span className="mark" />
        <h2 className="cut grow" title={span.name}>
          <Text of={span.name} />
        </h2>
        <Figure of={duration(span.durationMs)} />
        <button className="plain" aria-label="Close the panel" onClick={close}>
          ✕
        </button>
      </header>
      <div className="tabs" role="tablist">
        {tabs.map((t) => (
          <button key={t} role="tab" aria-selected={t === tab} className="plain" onClick={() => setTab(t)}>
            {t}
            {counts[t] ? <span className="unit num">{counts[t]}</span> : null}
          </button>
        ))}
      </div>
      <div className="body stack" role="tabpanel">
        {body(tab, span, trace, logs)}
      </div>
    </section>
  )
}

function body(tab: (typeof tabs)[number], span: Span, trace: Trace, logs: Log[]): ReactNode {
  switch (tab) {
    case 'Overview':
      return <Overview span={span} />
    case 'Attributes':
      return (
        <>
          <Table of={span.attributes} />
          <h2>Resource</h2>
          <Table of={trace.resources[span.resource] ?? {}} />
        </>
      )
    case 'Events':
      return span.events?.length ? span.events.map((e, i) => <Event key={i} at={e.time} name={e.name} of={e.attributes} />) : <p className="dim">The span recorded no events.</p>
    case 'Logs':
      return logs.length ? logs.map((l) => <Event key={l.id} at={l.time} name={l.message} of={l.attributes} />) : <p className="dim">No log line carries this span's id.</p>
    case 'Raw':
      return <Value of={span} />
  }
}

function Event({ at, name, of }: { at: string; name: string; of?: Record<string, unknown> }) {
  return (
    <details className="message">
      <summary>
        <span className="num dim">{clock(at)}</span>{' '}
        <span>
          <Text of={name} />
        </span>
      </summary>
      {of && <Table of={of} />}
    </details>
  )
}

function Overview({ span }: { span: Span }) {
  const m = span.model
  return (
    <>
      {span.error && (
        <div className="notice bad" role="alert">
          <pre>
            <Text of={span.error} />
          </pre>
        </div>
      )}
      <dl className="facts">
        {m && (
          <>
            <dt>Model</dt>
            <dd>
              {m.name} <span className="dim">{m.provider}</span>
            </dd>
            <dt>Tokens</dt>
            <dd className="num">
              in <Figure of={count(m.inputTokens)} /> · out <Figure of={count(m.outputTokens)} />
              {m.cachedTokens ? <> · cached <Figure of={count(m.cachedTokens)} /></> : null}
              {m.priced && <> · <Figure of={money(m.costUsd)} /></>}
              {!m.counted && <span className="dim"> · counted by the inner span</span>}
            </dd>
            {m.firstTokenMs ? (
              <>
                <dt>First token</dt>
                <dd>
                  <Figure of={duration(m.firstTokenMs)} />
                </dd>
              </>
            ) : null}
          </>
        )}
        <dt>Timing</dt>
        <dd>
          at <Figure of={duration(span.offsetMs)} />, <Figure of={duration(span.durationMs)} />, itself <Figure of={duration(span.selfMs)} />
        </dd>
        <dt>Kind</dt>
        <dd>
          {span.kind} <span className="dim">{span.scope}</span>
        </dd>
        <dt>Span id</dt>
        <dd className="mono">
          {span.spanId}
          <Copy text={span.spanId} what="Copy the span id" />
        </dd>
        {span.reportedId && (
          <>
            <dt>Parent</dt>
            <dd>
              <span className="mono">{span.reportedId}</span> <span className="dim">never arrived; hung where it fits</span>
            </dd>
          </>
        )}
      </dl>
      {span.tool && (
        <>
          <h2>Arguments</h2>
          <Value of={span.tool.arguments} />
          <h2>Result</h2>
          <Value of={span.tool.result} />
        </>
      )}
      {!!span.input?.length && (
        <>
          <h2>Input</h2>
          <Messages of={span.input} />
        </>
      )}
      {!!span.output?.length && (
        <>
          <h2>Output</h2>
          <Messages of={span.output} />
        </>
      )}
    </>
  )
}

function Table({ of }: { of: Record<string, unknown> }) {
  const keys = Object.keys(of).sort()
  if (keys.length === 0) return <p className="dim">None.</p>
  return (
    <dl className="facts attributes">
      {keys.map((k) => (
        <div key={k}>
          <dt className="mono">{k}</dt>
          <dd className="mono">
            <Text of={typeof of[k] === 'string' ? (of[k] as string) : JSON.stringify(of[k], null, 2)} />
          </dd>
        </div>
      ))}
    </dl>
  )
}
