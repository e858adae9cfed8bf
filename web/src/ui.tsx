// The parts that every view is made of.
import { type MouseEvent, type ReactNode, useEffect, useState } from 'react'
import type { Refusal } from './api'
import { ago, type Quantity } from './format'
import { icons } from './icons'
import { base, navigate } from './url'

/** Link goes to a view without loading the page anew; a modified click does what the browser does. */
export function Link({ to, children, className, title, current }: { to: string; children: ReactNode; className?: string; title?: string; current?: boolean }) {
  const go = (e: MouseEvent) => {
    if (e.metaKey || e.ctrlKey || e.shiftKey || e.button !== 0) return
    e.preventDefault()
    navigate(to)
  }
  return (
    <a href={base + to} onClick={go} className={className} title={title} aria-current={current ? 'page' : undefined}>
      {children}
    </a>
  )
}

export function Figure({ of }: { of: Quantity }) {
  return (
    <span className="num">
      {of.value}
      {of.unit && <span className="unit">{of.unit}</span>}
    </span>
  )
}

/** Time is relative on the screen, and absolute in its tooltip and on copy. */
export function Time({ at }: { at: string }) {
  useTick(10_000)
  return (
    <time dateTime={at} title={new Date(at).toISOString()} className="num">
      {ago(at)}
    </time>
  )
}

/** useTick renders again every so many ms. */
export function useTick(every: number) {
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), every)
    return () => clearInterval(timer)
  }, [every])
}

export function Copy({ text, what = 'Copy' }: { text: string; what?: string }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), 1200)
    return () => clearTimeout(timer)
  }, [done])
  return (
    <button type="button" className="plain copy" title={what} aria-label={what} onClick={() => navigator.clipboard.writeText(text).then(() => setDone(true))}>
      {done ? icons.done : icons.copy}
    </button>
  )
}

export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <code>{text}</code>
      <Copy text={text} what="Copy the command" />
    </div>
  )
}

/** missing are the action and the resource that a refusal names. */
const missing = /is not authorized to perform: (\S+)(?: on resource: (.+))?/

/** Problem says what went wrong, and what to do. To somebody who may not see or do a thing it says which right is missing. */
export function Problem({ error, retry }: { error: Refusal; retry?: () => void }) {
  const [, action, on] = (error.status === 403 && missing.exec(error.message)) || []
  return (
    <div className={action ? 'notice' : 'notice bad'} role="alert">
      <div className="bar">
        <span className="grow">
          {action ? (
            <>
              You may not do this: no policy of yours allows <code>{action}</code>
              {on && (
                <>
                  {' '}
                  on <code>{on}</code>
                </>
              )}
              . An administrator can give you that right, and can look up why by the request’s id.
            </>
          ) : (
            error.message
          )}
        </span>
        {retry && <button onClick={retry}>Try again</button>}
      </div>
      {error.requestId && (
        <div className="dim mono">
          request {error.requestId}
          <Copy text={error.requestId} what="Copy the request id" />
        </div>
      )}
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

const tones: Record<string, string> = {
  READY: 'good', active: 'good', idle: 'good',
  CREATING: 'busy', UPDATING: 'busy', DELETING: 'busy', starting: 'busy',
  CREATE_FAILED: 'bad', UPDATE_FAILED: 'bad', DELETE_FAILED: 'bad',
  asleep: 'asleep',
}

/** Status says in a word and a mark how a runtime or session stands. */
export function Status({ of }: { of: string }) {
  return <span className={'status ' + (tones[of] ?? '')}>{of.toLowerCase().replace('_', ' ')}</span>
}

export function Skeleton({ rows, columns }: { rows: number; columns: number }) {
  return (
    <tbody aria-hidden>
      {Array.from({ length: rows }, (_, r) => (
        <tr key={r}>
          {Array.from({ length: columns }, (_, c) => (
            <td key={c}>
              <span className="skeleton" />
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  )
}
