// The log: virtualised lines, each linked to the span that wrote it, followed until one scrolls up.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react'
import { get, type Refusal } from './api'
import { clock } from './format'
import { type Item, useItems } from './live'
import { useRange } from './ranges'
import { Text } from './trace/text'
import type { Log } from './trace/types'
import { Empty, Link, Problem } from './ui'
import { href } from './url'

const kept = 20_000
const first = 2000

interface Where {
  runtime?: string
  session?: string
  text?: string
}

/** useLog finds the newest lines in the page's time, and adds new ones as they come. */
function useLog({ runtime, session, text }: Where) {
  const [range] = useRange()
  const [log, setLog] = useState<Log[]>()
  const [error, setError] = useState<Refusal>()
  const path = useMemo(() => {
    const q = new URLSearchParams({ limit: String(first) })
    for (const [k, v] of Object.entries({ runtime, session, text })) if (v) q.set(k, v)
    return `/v1/logs?${q}&${session ? '' : range.query}`
  }, [runtime, session, text, range.query])
  const load = useCallback(
    (signal?: AbortSignal) =>
      get<{ logs: Log[] }>(path, signal).then(
        (found) => {
          setLog(found.logs)
          setError(undefined)
        },
        (e) => signal?.aborted || setError(e as Refusal),
      ),
    [path],
  )
  useEffect(() => {
    const stop = new AbortController()
    load(stop.signal)
    return () => stop.abort()
  }, [load])
  const hear = useCallback(
    (items: Item[]) => {
      if (range.fixed && !session) return
      const mine = items.flatMap((i) => (i.log && (!runtime || i.runtime === runtime) && (!session || i.sessionId === session) && (!text || i.log.message.includes(text)) ? [i.log] : []))
      if (items.some((i) => i.missed)) load()
      if (mine.length) setLog((old) => merge(old ?? [], mine))
    },
    [runtime, session, text, range.fixed, load],
  )
  useItems(hear)
  return { log, error, retry: () => void load() }
}

/** merge adds lines that came after what is there; one that is there already comes only once. */
function merge(old: Log[], more: Log[]): Log[] {
  const known = new Set(old.slice(-500).map((l) => l.id))
  return [...old, ...more.filter((l) => !known.has(l.id))].slice(-kept)
}

export function LogPanel({ session, runtime, filter, setFilter, tall = false }: Where & { filter?: string; setFilter?: (text: string) => void; tall?: boolean }) {
  const [own, setOwn] = useState('')
  const text = filter ?? own
  const searched = useDeferredValue(text)
  const { log, error, retry } = useLog({ runtime, session, text: searched })
  return (
    <section className={tall ? 'panel log tall' : 'panel log'}>
      <header>
        <h2 className="grow">Log</h2>
        <input type="search" placeholder="Find in the log" aria-label="Find in the log" value={text} onChange={(e) => (setFilter ?? setOwn)(e.target.value)} />
      </header>
      {error && <Problem error={error} retry={retry} />}
      {log === undefined ? null : log.length ? <Lines of={log} /> : <Empty title={text ? 'No line has this in it' : 'Nothing printed in this time'}>{!text && 'What the agent writes to stdout and stderr shows here at once.'}</Empty>}
    </section>
  )
}

export function Lines({ of: log, select }: { of: Log[]; select?: (span: string) => void }) {
  const box = useRef<HTMLDivElement>(null)
  const [follow, setFollow] = useState(true)
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const rows = useVirtualizer({ count: log.length, getScrollElement: () => box.current, estimateSize: () => 20, overscan: 20, getItemKey: (i) => log[i]!.id })
  useEffect(() => {
    if (follow) rows.scrollToIndex(log.length - 1, { align: 'end' })
  }, [follow, log.length, rows])
  const scrolled = () => {
    const b = box.current!
    setFollow(b.scrollHeight - b.scrollTop - b.clientHeight < 24)
  }
  const toggle = (id: string) => setOpen((old) => (old.has(id) ? new Set([...old].filter((x) => x !== id)) : new Set(old).add(id)))
  return (
    <div className="logs-box">
      <div className="logs" ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-live="off" aria-label="Log lines">
        <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {rows.getVirtualItems().map((row) => {
            const l = log[row.index]!
            return (
              <div key={row.key} data-index={row.index} ref={rows.measureElement} className={'line ' + l.stream} style={{ position: 'absolute', top: 0, insetInline: 0, transform: `translateY(${row.start}px)` }}>
                <time dateTime={l.time} title={`${l.time} ${l.stream}`}>
                  {clock(l.time)}
                </time>
                <Message of={l} open={open.has(l.id)} toggle={() => toggle(l.id)} />
                <Origin of={l} select={select} />
              </div>
            )
          })}
        </div>
      </div>
      {!follow && (
        <button className="to-end" onClick={() => setFollow(true)}>
          ↓ Follow
        </button>
      )}
    </div>
  )
}

function Origin({ of: l, select }: { of: Log; select?: (span: string) => void }) {
  if (select)
    return l.spanId ? (
      <button className="plain link" onClick={() => select(l.spanId!)}>
        span
      </button>
    ) : (
      <span />
    )
  if (!l.traceId) return <span />
  return (
    <Link to={href('/traces/' + l.traceId, { span: l.spanId })} className="link" title={l.spanId ? 'The span that wrote this' : 'The trace that ran meanwhile'}>
      {l.spanId ? 'span' : 'trace'}
    </Link>
  )
}

const noisy = new Set(['level', 'severity', 'message', 'msg', 'timestamp', 'time', 'ts'])

/** Message is a line as it was printed; one that is JSON is folded to its level, its message and the rest. */
export function Message({ of: l, open, toggle }: { of: Log; open: boolean; toggle: () => void }) {
  const doc = useMemo(() => parse(l.message), [l.message])
  const level = severity(l, doc)
  if (!doc)
    return (
      <span className="said-line">
        {level && <b className={'level ' + level}>{level}</b>}
        <Text of={l.message} />
      </span>
    )
  const rest = Object.entries(doc).filter(([k]) => !noisy.has(k.toLowerCase()))
  return (
    <span className="said-line">
      <button className="fold" aria-expanded={open} aria-label={open ? 'Fold the line' : 'Unfold the line'} onClick={toggle}>
        {open ? '▾' : '▸'}
      </button>
      {level && <b className={'level ' + level}>{level}</b>}
      {open ? (
        <span className="json">
          <Text of={JSON.stringify(doc, null, 2)} />
        </span>
      ) : (
        <>
          <Text of={String(doc.message ?? doc.msg ?? '')} />
          {rest.map(([k, v]) => (
            <span key={k} className="pair-kv">
              {' '}
              <span className="dim">
                <Text of={k} />=
              </span>
              <Text of={typeof v === 'string' ? v : JSON.stringify(v)} />
            </span>
          ))}
        </>
      )}
    </span>
  )
}

function parse(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const doc: unknown = JSON.parse(text)
    return doc && typeof doc === 'object' && !Array.isArray(doc) ? (doc as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** severity is a word for what stands out: error, warning or nothing. */
function severity(l: Log, doc?: Record<string, unknown>): string {
  const said = String(l.severity || doc?.level || doc?.severity || '').toLowerCase()
  if (/err|fatal|crit/.test(said)) return 'error'
  if (/warn/.test(said)) return 'warning'
  return ''
}
