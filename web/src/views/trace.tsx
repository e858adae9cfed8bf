import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useData } from '../api'
import { from, useCrumbs } from '../crumbs'
import { count, duration, money, short } from '../format'
import { type Item, useLive } from '../live'
import { Lines } from '../logs'
import { Compare } from '../trace/compare'
import { SpanPanel } from '../trace/span'
import { Strip } from '../trace/strip'
import { Text } from '../trace/text'
import { Tree } from '../trace/tree'
import type { Log, Trace } from '../trace/types'
import { Waterfall, type Zoom } from '../trace/waterfall'
import { Copy, Empty, Figure, Link, Problem } from '../ui'
import { href, useQuery } from '../url'
import { lastWords } from '../words'

const Graph = lazy(() => import('../trace/graph'))
const modes = ['Timeline', 'Trajectory', 'Log', 'Compare'] as const

export default function TraceView({ id }: { id: string }) {
  const { data: trace, error, reload } = useData<Trace>('/v1/traces/' + encodeURIComponent(id), 30_000)
  const mine = useCallback((i: Item) => i.traceId === id, [id])
  useLive(mine, reload)
  useCrumbs(trace && [...from(trace.runtime, trace.endpoint, trace.sessionId ? { id: trace.sessionId, name: trace.callerSessionId || trace.sessionId } : undefined), ['trace ' + short(id), href('/traces/' + id)]])
  if (error && !trace) return error.status === 404 ? <NotYet id={id} /> : <Problem error={error} retry={reload} />
  if (!trace) return <Waiting />
  return <Loaded trace={trace} />
}

function Loaded({ trace }: { trace: Trace }) {
  const tree = useStable(trace)
  const [mode, setMode] = useQuery('view', 'Timeline')
  const [selected, select] = useQuery('span')
  const [noise, setNoise] = useQuery('noise')
  const [filter, setFilter] = useQuery('q')
  const [zoomText, setZoomText] = useQuery('zoom')
  const [foldedText, setFoldedText] = useQuery('folded')
  const folded = useMemo<ReadonlySet<string>>(() => new Set(foldedText ? foldedText.split('.') : []), [foldedText])
  const [lines, setLines] = useQuery('lines')
  const play = usePlayback(tree.length)
  const search = useRef<HTMLInputElement>(null)

  const fold = useCallback((id: string) => setFoldedText((folded.has(id) ? [...folded].filter((x) => x !== id) : [...folded, id]).join('.')), [folded])
  const logs = useMemo(() => bySpan(trace.logs), [trace.logs])
  const rows = useMemo(() => tree.rows({ noise: noise !== '', folded, filter, logs: lines ? logs : undefined }), [tree, noise, folded, filter, lines, logs])
  const zoom = useMemo(() => parseZoom(zoomText, tree.length), [zoomText, tree.length])
  const setZoom = useCallback((z?: Zoom) => setZoomText(z ? `${z.from.toFixed(3)}-${z.to.toFixed(3)}` : ''), [setZoomText])
  const span = tree.byId.get(selected)

  useEffect(() => {
    const slash = (e: globalThis.KeyboardEvent) => {
      if (e.key !== '/' || e.target instanceof HTMLInputElement || e.target instanceof HTMLTextAreaElement) return
      e.preventDefault()
      search.current?.focus()
    }
    addEventListener('keydown', slash)
    return () => removeEventListener('keydown', slash)
  }, [])

  return (
    <div className="trace">
      <Summary trace={trace} noise={noise !== ''} setNoise={(on) => setNoise(on ? '1' : '')} />
      <div className="bar">
        <div className="segments" role="tablist" aria-label="View">
          {modes.map((m) => (
            <button key={m} role="tab" aria-selected={m === mode} onClick={() => setMode(m)}>
              {m}
            </button>
          ))}
        </div>
        {mode === 'Timeline' && <input ref={search} type="search" placeholder="Filter spans ( / )" aria-label="Filter spans" value={filter} onChange={(e) => setFilter(e.target.value)} />}
        {mode === 'Timeline' && logs.size > 0 && (
          <label className="bar">
            <input type="checkbox" checked={lines !== ''} onChange={(e) => setLines(e.target.checked ? '1' : '')} /> log lines
          </label>
        )}
        <span className="grow" />
        <Shares tree={tree} />
        {zoomText && <button onClick={() => setZoom()}>Fit</button>}
        {(mode === 'Timeline' || mode === 'Trajectory') && (
          <button onClick={play.toggle} aria-pressed={play.running} title="Play the trace through, in both views">
            {play.running ? 'Pause' : 'Play'}
          </button>
        )}
      </div>
      <div className={span ? 'trace-split' : 'trace-whole'}>
        {mode === 'Timeline' && (
          <Waterfall tree={tree} rows={rows} selected={selected} select={select} fold={fold} zoom={zoom} setZoom={setZoom} playhead={play.at} logCount={(id) => logs.get(id)?.length ?? 0}>
            <Strip trace={trace} zoom={zoom} />
          </Waterfall>
        )}
        {mode === 'Trajectory' && (
          <Suspense fallback={null}>
            <Graph spans={tree.spans} selected={selected} select={select} playhead={play.at} />
          </Suspense>
        )}
        {mode === 'Log' && <TraceLog trace={trace} select={select} />}
        {mode === 'Compare' && <Compare trace={trace} />}
        {span && <SpanPanel key={span.spanId} span={span} trace={trace} close={() => select('')} />}
      </div>
    </div>
  )
}

/** useStable keeps the tree while an answer brings nothing new: rows then do not render again. */
function useStable(trace: Trace): Tree {
  const key = trace.traceId + trace.spans.length + trace.end
  return useMemo(() => new Tree(trace.spans), [key])
}

function parseZoom(text: string, length: number): Zoom {
  const [from, to] = text.split('-').map(Number)
  if (from === undefined || to === undefined || !(to > from)) return { from: 0, to: length || 1 }
  return { from, to }
}

/** usePlayback moves a playhead through the trace, in at most ten seconds whatever its length. */
function usePlayback(length: number) {
  const [at, setAt] = useState<number>()
  const [running, setRunning] = useState(false)
  useEffect(() => {
    if (!running) return
    const speed = Math.max(1, length / 10_000)
    let before = performance.now()
    let frame = 0
    const step = (now: number) => {
      const passed = (now - before) * speed
      before = now
      setAt((t) => {
        const next = (t ?? 0) + passed
        if (next < length) return next
        setRunning(false)
        return undefined
      })
      frame = requestAnimationFrame(step)
    }
    frame = requestAnimationFrame(step)
    return () => cancelAnimationFrame(frame)
  }, [running, length])
  return { at, running, toggle: () => setRunning((r) => !r) }
}

function Summary({ trace: t, noise, setNoise }: { trace: Trace; noise: boolean; setNoise: (on: boolean) => void }) {
  const tokens = t.inputTokens + t.outputTokens
  return (
    <div className="bar summary">
      <Figure of={count(t.spans.length - t.hidden)} /> spans
      {t.hidden > 0 && (
        <button className="plain" onClick={() => setNoise(!noise)} aria-pressed={noise} title="Single messages of servers' protocols, health checks and the like">
          {noise ? `hide ${t.hidden} of noise` : `+${t.hidden} noise`}
        </button>
      )}
      <span className="dot">·</span> {t.modelCalls} model calls
      <span className="dot">·</span> {t.toolCalls} tool calls
      <span className="dot">·</span> <Figure of={duration(t.durationMs)} />
      {tokens > 0 && (
        <>
          <span className="dot">·</span> <Figure of={count(tokens)} /> tok
        </>
      )}
      {t.costUsd > 0 && (
        <>
          <span className="dot">·</span> <Figure of={money(t.costUsd)} />
        </>
      )}
      <span className="dot">·</span>
      {t.errors ? (
        <span className="status bad cut" title={t.error}>
          <Text of={lastWords(t.error) || `${t.errors} failed`} />
        </span>
      ) : (
        <span className="dim">no errors</span>
      )}
      <span className="grow" />
      {t.sessionId && (
        <Link to={href('/sessions/' + t.sessionId)} className="link">
          Session
        </Link>
      )}
      {['otlp', 'perfetto'].map((format) => (
        <a key={format} className="link mid" href={`/v1/traces/${t.traceId}?format=${format}`} download={`trace-${t.traceId}.${format}.json`} title={format === 'otlp' ? 'For other OpenTelemetry tools, as JSON' : 'For ui.perfetto.dev'}>
          {format === 'otlp' ? 'OTLP' : 'Perfetto'}
        </a>
      ))}
      <span className="mono dim">{t.traceId.slice(0, 8)}…</span>
      <Copy text={t.traceId} what="Copy the trace id" />
    </div>
  )
}

/** Shares says what the trace's length hangs on: how much of it is models, tools and the rest. */
function Shares({ tree }: { tree: Tree }) {
  const shares = useMemo(() => {
    const sums = { model: 0, tool: 0, rest: 0 }
    for (const [id, times] of tree.criticalPath()) sums[partOf(tree, id)] += times.reduce((all, t) => all + t.to - t.from, 0)
    const all = sums.model + sums.tool + sums.rest
    return (Object.entries(sums) as [Part, number][]).map(([part, ms]) => [part, Math.round((100 * ms) / (all || 1))] as const).filter(([, share]) => share > 0)
  }, [tree])
  if (shares.every(([part]) => part === 'rest')) return null
  return (
    <span className="shares mid" title="What the trace's length hangs on">
      <span className="share-bar" aria-hidden>
        {shares.map(([part, share]) => (
          <i key={part} style={{ width: `${share}%`, background: `var(${{ model: '--model', tool: '--tool', rest: '--http' }[part]})` }} />
        ))}
      </span>
      {shares.map(([part, share]) => (
        <span key={part}>
          {{ model: 'models', tool: 'tools', rest: 'the rest' }[part]} <Figure of={{ value: String(share), unit: '%' }} />
        </span>
      ))}
    </span>
  )
}

type Part = 'model' | 'tool' | 'rest'

/** partOf counts a request that a tool makes as the tool's time. */
function partOf(tree: Tree, id: string): Part {
  for (let at = tree.byId.get(id); at; at = at.parentId ? tree.byId.get(at.parentId) : undefined) {
    if (at.kind === 'model') return 'model'
    if (at.kind === 'tool' || at.kind === 'retrieval') return 'tool'
    if (at.kind === 'agent' || at.kind === 'service') return 'rest'
  }
  return 'rest'
}

function bySpan(all: Log[]): Map<string, Log[]> {
  const out = new Map<string, Log[]>()
  for (const l of all) {
    if (!l.spanId) continue
    const had = out.get(l.spanId)
    had ? had.push(l) : out.set(l.spanId, [l])
  }
  return out
}

function TraceLog({ trace, select }: { trace: Trace; select: (id: string) => void }) {
  return (
    <section className="panel log tall">
      {trace.logs.length ? (
        <Lines of={trace.logs} select={select} />
      ) : (
        <Empty title="No log line belongs to this trace">What the session prints while a trace runs shows here, beside the span that wrote it.</Empty>
      )}
    </section>
  )
}

/** NotYet is a trace that nobody reported, or not so far. */
function NotYet({ id }: { id: string }) {
  return (
    <div className="panel">
      <Empty title="No span of this trace has arrived">
        <p className="mono">{id}</p>
        <p>It shows here within a second of its first span's end. Traces are kept until their time is over, or their disk is full.</p>
      </Empty>
    </div>
  )
}

/** Waiting has the shape of what will be there. */
function Waiting() {
  return (
    <div className="trace" aria-busy>
      <div className="bar summary">
        <span className="skeleton" style={{ width: 320 }} />
      </div>
      <div className="waterfall waiting">
        {Array.from({ length: 12 }, (_, i) => (
          <span key={i} className="skeleton" style={{ width: `${70 - ((i * 17) % 50)}%`, marginLeft: `${(i * 13) % 30}%` }} />
        ))}
      </div>
    </div>
  )
}
