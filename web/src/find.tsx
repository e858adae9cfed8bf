// ⌘K: finds runtimes, sessions, traces and spans by id or text, and goes there.
import { type KeyboardEvent, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react'
import { call, type Runtime, type Session, useData } from './api'
import { nameOf } from './crumbs'
import { clock } from './format'
import type { Log, SessionSummary, TraceSummary } from './trace/types'
import { Text } from './trace/text'
import { href, navigate } from './url'
import { lastWords } from './words'

interface Hit {
  kind: string
  name: string
  detail: string
  to: string
  act?: () => void // in place of going there
}

const pages: Hit[] = [
  ...['Runtimes', 'Sessions', 'Traces', 'Logs', 'Metrics', 'Play'].map((name): [string, string] => [name, name === 'Runtimes' ? '/' : '/' + name.toLowerCase()]),
  ...['Audit', 'Users and roles', 'API keys', 'Policies', 'Providers'].map((name): [string, string] => ['Identity: ' + name, '/identity/' + name.toLowerCase().replace(/ and roles|api /, '')]),
].map(([name, to]) => ({ kind: 'page', name, detail: '', to }))

export function Find() {
  const dialog = useRef<HTMLDialogElement>(null)
  const [open, setOpen] = useState(false)
  useEffect(() => {
    const key = (e: globalThis.KeyboardEvent) => {
      if (e.key !== 'k' || !(e.metaKey || e.ctrlKey)) return
      e.preventDefault()
      setOpen(true)
    }
    addEventListener('keydown', key)
    return () => removeEventListener('keydown', key)
  }, [])
  useEffect(() => {
    if (open) dialog.current?.showModal()
  }, [open])
  return (
    <>
      <button className="find-button" onClick={() => setOpen(true)} aria-keyshortcuts="Meta+K Control+K">
        Find <kbd className="wide">⌘K</kbd>
      </button>
      {open && (
        <dialog ref={dialog} className="find" onClose={() => setOpen(false)} aria-label="Find" onClick={(e) => e.target === dialog.current && dialog.current.close()}>
          <Search done={() => dialog.current?.close()} />
        </dialog>
      )}
    </>
  )
}

function Search({ done }: { done: () => void }) {
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const [hits, looking] = useHits(text)
  const go = (hit?: Hit) => {
    if (!hit) return
    done()
    hit.act ? hit.act() : navigate(hit.to)
  }
  const keys = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key]
    if (step) {
      e.preventDefault()
      setAt((i) => (i + step + hits.length) % Math.max(1, hits.length))
    }
    if (e.key === 'Enter') go(hits[at])
  }
  return (
    <>
      <input autoFocus type="search" placeholder="Runtime, session, trace, span, words of a log line, or an action" aria-label="What to find" value={text} role="combobox" aria-expanded aria-controls="hits" aria-activedescendant={'hit-' + at}
        onChange={(e) => {
          setText(e.target.value)
          setAt(0)
        }}
        onKeyDown={keys}
      />
      <ul id="hits" role="listbox" aria-label="Hits">
        {hits.map((h, i) => (
          <li key={h.kind + h.to} id={'hit-' + i} role="option" aria-selected={i === at} onClick={() => go(h)} onPointerMove={() => setAt(i)}>
            <span className="dim">{h.kind}</span>
            <span className="cut">
              <Text of={h.name} />
            </span>
            <span className="dim cut mono">{h.detail}</span>
          </li>
        ))}
        {hits.length === 0 && <li className="dim">{looking ? 'Looking for the span…' : 'Nothing matches'}</li>}
      </ul>
    </>
  )
}

/** useHits is what matches, and whether there may be more in a moment. */
function useHits(text: string): [Hit[], boolean] {
  const wanted = text.toLowerCase().trim()
  const searched = useDeferredValue(wanted)
  const { data: runtimes } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const { data: sessions } = useData<{ sessions: Session[] }>('/v1/sessions')
  const { data: past } = useData<{ sessions: SessionSummary[] }>('/v1/telemetry/sessions?since=168h&limit=500')
  const { data: traces } = useData<{ traces: TraceSummary[] }>('/v1/traces?since=168h&limit=500')
  const { data: printed } = useData<{ logs: Log[] }>(searched.length > 2 ? `/v1/logs?since=24h&limit=5&text=${encodeURIComponent(searched)}` : null)
  const spanId = /^[0-9a-f]{16}$/.test(searched) ? searched : ''
  const { data: around, error: nowhere } = useData<{ traces: TraceSummary[] }>(spanId && `/v1/traces?span=${spanId}`)
  const hits = useMemo(() => {
    const live = new Set(sessions?.sessions.map((s) => s.id))
    const all: Hit[] = [
      ...(runtimes?.runtimes ?? []).map((r) => ({ kind: 'runtime', name: r.name, detail: r.id, to: href('/runtimes/' + r.id) })),
      ...(sessions?.sessions ?? []).map((s) => ({ kind: 'session', name: s.sessionId, detail: s.id, to: href('/sessions/' + s.id) })),
      ...(past?.sessions ?? []).filter((s) => !live.has(s.sessionId)).map((s) => ({ kind: 'session', name: s.callerSessionId || s.sessionId, detail: s.sessionId, to: href('/sessions/' + s.sessionId) })),
      ...(traces?.traces ?? []).map((t) => ({ kind: 'trace', name: (t.runtime ? nameOf(t.runtime) : t.name) + (t.error ? ': ' + lastWords(t.error) : ''), detail: t.traceId, to: href('/traces/' + t.traceId) })),
      ...pages.map((p) => ({ ...p, to: href(p.to) })),
      ...actions,
    ]
    const trace = /^[0-9a-f]{32}$/.test(wanted) ? [{ kind: 'trace', name: 'open this trace', detail: wanted, to: href('/traces/' + wanted) }] : []
    const found = all.filter((h) => !wanted || (h.name + ' ' + h.detail + ' ' + h.kind).toLowerCase().includes(wanted))
    const spans = (spanId && around?.traces ? around.traces : []).map((t) => ({ kind: 'span', name: t.runtime ? nameOf(t.runtime) : t.name, detail: spanId, to: href('/traces/' + t.traceId, { span: spanId }) }))
    const lines = wanted === searched ? (printed?.logs ?? []).reverse().map(hitOf) : []
    return [...spans, ...(found.length ? found : trace).slice(0, lines.length ? 8 : 12), ...lines]
  }, [wanted, searched, runtimes, sessions, past, traces, printed, spanId, around])
  return [hits, !!spanId && !around && !nowhere]
}

/** hitOf leads from a log line to the span that wrote it, or to the log where it is. */
function hitOf(l: Log): Hit {
  const to = l.traceId ? href('/traces/' + l.traceId, { span: l.spanId, view: l.spanId ? undefined : 'Log' }) : href('/logs', { runtime: l.runtime, q: l.message.slice(0, 40) })
  return { kind: l.spanId ? 'span' : 'line', name: l.message.slice(0, 120), detail: clock(l.time), to: to + '#' + l.id }
}

const actions: Hit[] = [
  { kind: 'action', name: 'Switch between dark and light', detail: '', to: 'theme', act: () => document.querySelector<HTMLElement>('[data-action=theme]')?.click() },
  { kind: 'action', name: 'Copy a link to this page', detail: '', to: 'link', act: () => void navigator.clipboard.writeText(location.href) },
  { kind: 'action', name: 'Keyboard', detail: '?', to: 'keys', act: () => dispatchEvent(new CustomEvent('keys')) },
  { kind: 'action', name: 'Log out', detail: '', to: 'out', act: () => void call('POST', '/console/logout').finally(() => location.reload()) },
]
