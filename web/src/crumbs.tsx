// Where one is, from the runtime down. Every crumb is a link.
import { useEffect, useSyncExternalStore } from 'react'
import { short } from './format'
import { Link } from './ui'
import { href, useURL } from './url'

export type Crumb = [word: string, to: string]

let deep: { at: string; crumbs: Crumb[] } = { at: '', crumbs: [] }
const listeners = new Set<() => void>()

function subscribe(f: () => void) {
  listeners.add(f)
  return () => void listeners.delete(f)
}

/** useCrumbs says where the view is that calls it, once it knows; the path alone says it until then. */
export function useCrumbs(crumbs: Crumb[] | undefined) {
  const key = JSON.stringify(crumbs)
  useEffect(() => {
    if (!crumbs) return
    deep = { at: location.pathname, crumbs }
    listeners.forEach((f) => f())
  }, [key])
}

export function Crumbs({ parts }: { parts: string[] }) {
  const known = useSyncExternalStore(subscribe, () => deep)
  const path = useURL().pathname
  const crumbs = known.at === path ? known.crumbs : plain(parts)
  return (
    <nav className="crumbs" aria-label="Breadcrumbs">
      {crumbs.map(([word, to], i) => (
        <span key={to + i} className="crumb cut">
          {i > 0 && <span className="sep">▸</span>}
          <Link to={to} className="cut" title={word}>
            {short(word, 28)}
          </Link>
        </span>
      ))}
    </nav>
  )
}

function plain(parts: string[]): Crumb[] {
  if (parts.length === 0) return [['Runtimes', href('/')]]
  return parts.map((part, i) => [i === 0 ? part[0]!.toUpperCase() + part.slice(1) : part, href('/' + parts.slice(0, i + 1).map(encodeURIComponent).join('/'))])
}

/** nameOf is a runtime's id without what makes it unique. */
export const nameOf = (runtime: string) => runtime.replace(/-[0-9A-Za-z]{10}$/, '')

/** from leads from a runtime to a session of one of its endpoints. */
export function from(runtime: string | undefined, endpoint: string | undefined, session?: { id: string; name: string }): Crumb[] {
  const out: Crumb[] = []
  if (runtime) out.push([nameOf(runtime), href('/runtimes/' + encodeURIComponent(runtime))])
  if (runtime && endpoint) out.push([endpoint, href('/sessions', { runtime })])
  if (session) out.push(['session ' + short(session.name, 14), href('/sessions/' + encodeURIComponent(session.id))])
  return out
}
