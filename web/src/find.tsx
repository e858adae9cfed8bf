// ⌘K: finds runtimes, sessions and traces by id or text, and goes there.
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react'
import { type Runtime, type Session, useData } from './api'
import type { TraceSummary } from './trace/types'
import { href, navigate } from './url'

interface Hit {
  kind: string
  name: string
  detail: string
  to: string
}

const pages: Hit[] = ['Runtimes', 'Sessions', 'Traces', 'Logs', 'Metrics', 'Play'].map((name) => ({ kind: 'page', name, detail: '', to: name === 'Runtimes' ? '/' : '/' + name.toLowerCase() }))

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
  const hits = useHits(text)
  const go = (hit?: Hit) => {
    if (!hit) return
    done()
    navigate(href(hit.to))
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
      <input autoFocus type="search" placeholder="Runtime, session, trace or page" aria-label="What to find" value={text} role="combobox" aria-expanded aria-controls="hits" aria-activedescendant={'hit-' + at}
        onChange={(e) => {
          setText(e.target.value)
          setAt(0)
        }}
        onKeyDown={keys}
      />
      <ul id="hits" role="listbox" aria-label="Hits">
        {hits.map((h, i) => (
          <li key={h.to} id={'hit-' + i} role="option" aria-selected={i === at} onClick={() => go(h)} onPointerMove={() => setAt(i)}>
            <span className="dim">{h.kind}</span>
            <span className="cut">{h.name}</span>
            <span className="dim cut mono">{h.detail}</span>
          </li>
        ))}
        {hits.length === 0 && <li className="dim">Nothing matches</li>}
      </ul>
    </>
  )
}

function useHits(text: string): Hit[] {
  const { data: runtimes } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const { data: sessions } = useData<{ sessions: Session[] }>('/v1/sessions?all=true')
  const { data: traces } = useData<{ traces: TraceSummary[] }>('/v1/traces?since=24h')
  return useMemo(() => {
    const all: Hit[] = [
      ...(runtimes?.runtimes ?? []).map((r) => ({ kind: 'runtime', name: r.name, detail: r.id, to: '/runtimes/' + r.id })),
      ...(sessions?.sessions ?? []).map((s) => ({ kind: 'session', name: s.sessionId, detail: s.id, to: '/sessions/' + s.id })),
      ...(traces?.traces ?? []).map((t) => ({ kind: 'trace', name: t.error ? t.name + ': ' + t.error : t.name, detail: t.traceId, to: '/traces/' + t.traceId })),
      ...pages,
    ]
    const wanted = text.toLowerCase().trim()
    const whole = /^[0-9a-f]{32}$/.test(wanted) ? [{ kind: 'trace', name: 'open this trace', detail: wanted, to: '/traces/' + wanted }] : []
    const found = all.filter((h) => !wanted || (h.name + ' ' + h.detail + ' ' + h.kind).toLowerCase().includes(wanted))
    return (found.length ? found : whole).slice(0, 12)
  }, [text, runtimes, sessions, traces])
}
