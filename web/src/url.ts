// The URL holds the whole state of a page: what is looked at in its path, how in its query.
import { useSyncExternalStore } from 'react'

export const base = '/console'

const listeners = new Set<() => void>()
const tell = () => listeners.forEach((f) => f())
addEventListener('popstate', tell)

function subscribe(f: () => void) {
  listeners.add(f)
  return () => void listeners.delete(f)
}

/** useURL renders again whenever the address changes. */
export function useURL(): URL {
  return new URL(useSyncExternalStore(subscribe, () => location.href))
}

/** navigate goes to a path under /console, as a link does. */
export function navigate(to: string, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', base + to)
  tell()
}

/** href is the address of a view; what is undefined or empty is left out of its query. The time range goes along. */
export function href(path: string, query: Record<string, string | undefined> = {}): string {
  const q = new URLSearchParams()
  const range = new URLSearchParams(location.search).get('range')
  if (range) q.set('range', range)
  for (const [k, v] of Object.entries(query)) v ? q.set(k, v) : q.delete(k)
  const text = q.toString()
  return path + (text && '?' + text)
}

/** useQuery is one value of the query, and how to set it. Setting replaces the entry in the history. */
export function useQuery(name: string, otherwise = ''): [string, (v: string) => void] {
  const url = useURL()
  const set = (v: string) => {
    const next = new URL(location.href)
    v && v !== otherwise ? next.searchParams.set(name, v) : next.searchParams.delete(name)
    history.replaceState(null, '', next)
    tell()
  }
  return [url.searchParams.get(name) ?? otherwise, set]
}
