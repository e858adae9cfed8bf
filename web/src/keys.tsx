// What the keyboard does: g and a letter go to a section, and ? says all of it.
import { useEffect, useRef, useState } from 'react'
import { href, navigate } from './url'

const sections: Record<string, [string, string]> = {
  r: ['Runtimes', '/'],
  s: ['Sessions', '/sessions'],
  t: ['Traces', '/traces'],
  l: ['Logs', '/logs'],
  m: ['Metrics', '/metrics'],
  i: ['Identity', '/identity'],
  p: ['Play', '/play'],
}

const keys: [string, string][] = [
  ['⌘K, Ctrl K', 'find anything'],
  ...Object.entries(sections).map(([key, [name]]): [string, string] => ['g ' + key, name]),
  ['/', 'filter'],
  ['↑ ↓, j k', 'the span before, the next'],
  ['← →', 'fold, unfold; go up'],
  ['f', 'fold or unfold'],
  ['Enter', 'to the span’s panel'],
  ['Esc', 'close the panel'],
]

const typing = (e: KeyboardEvent) => e.target instanceof HTMLInputElement || e.target instanceof HTMLTextAreaElement || e.target instanceof HTMLSelectElement || e.metaKey || e.ctrlKey || e.altKey

export function Keys() {
  const dialog = useRef<HTMLDialogElement>(null)
  const [open, setOpen] = useState(false)
  useEffect(() => {
    let going = 0
    const show = () => setOpen(true)
    const key = (e: KeyboardEvent) => {
      if (typing(e)) return
      const section = sections[e.key]
      if (e.key === '?') show()
      else if (section && e.timeStamp - going < 1000) navigate(href(section[1]))
      going = e.key === 'g' ? e.timeStamp : 0
    }
    addEventListener('keydown', key)
    addEventListener('keys', show)
    return () => {
      removeEventListener('keydown', key)
      removeEventListener('keys', show)
    }
  }, [])
  useEffect(() => {
    if (open) dialog.current?.showModal()
  }, [open])
  if (!open) return null
  return (
    <dialog ref={dialog} className="find keys" aria-label="Keyboard" onClose={() => setOpen(false)} onClick={(e) => e.target === dialog.current && dialog.current.close()}>
      <h2>Keyboard</h2>
      <dl className="facts">
        {keys.map(([key, does]) => (
          <div key={key} className="key-row">
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </dialog>
  )
}
