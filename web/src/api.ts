// Calls to the server that served the page. The login is a cookie that scripts cannot read.
import { useCallback, useEffect, useRef, useState } from 'react'
import { isPaused } from './live'
import type { Spending } from './spending'

/** Refusal is what the server answered instead: what happened, and the id to look it up by. */
export class Refusal extends Error {
  constructor(message: string, readonly status: number, readonly requestId: string) {
    super(message)
  }
}

/** A refused login ends in the login page, wherever it happened. */
export const loggedOut = new EventTarget()

export async function call(method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<Response> {
  const json = body !== undefined && typeof body !== 'string'
  const response = await fetch(path, {
    method,
    body: json ? JSON.stringify(body) : (body as string | undefined),
    headers: json ? { 'Content-Type': 'application/json' } : undefined,
    ...init,
  }).catch((e: Error) => {
    if (e.name === 'AbortError') throw e
    throw new Refusal('The server does not answer. Is it running? It is looked for again every few seconds.', 0, '')
  })
  if (response.ok) return response
  const id = response.headers.get('x-amzn-RequestId') ?? ''
  const said = await response.json().catch(() => ({}))
  if (response.status === 401 && path !== '/console/login') loggedOut.dispatchEvent(new Event('end')) // 403 is of somebody who may not
  throw new Refusal(said.message ?? said.Message ?? `The server answered ${response.status}.`, response.status, id)
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await call('GET', path, undefined, { signal })).json()
}

export interface Data<T> {
  data?: T
  error?: Refusal
  reload: () => void
}

/**
 * useData keeps what a path answers, asks again every so many ms while the page is seen, and keeps the
 * old answer on the screen until the new one is there. A null path asks nothing.
 */
export function useData<T>(path: string | null, every = 0): Data<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; error?: Refusal }>({ path })
  const again = useRef<() => void>(() => {})
  useEffect(() => {
    if (!path) return
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let loaded = false
    const load = async () => {
      clearTimeout(timer)
      try {
        if (document.visibilityState === 'visible' && !(loaded && isPaused())) {
          const data = await get<T>(path, stop.signal)
          loaded = true
          setState({ path, data })
        }
      } catch (error) {
        if (stop.signal.aborted) return
        setState((old) => ({ path, data: old.path === path ? old.data : undefined, error: error as Refusal }))
      }
      if (every && !stop.signal.aborted) timer = setTimeout(load, every)
    }
    again.current = load
    load()
    const seen = () => document.visibilityState === 'visible' && load()
    document.addEventListener('visibilitychange', seen)
    return () => {
      stop.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', seen)
    }
  }, [path, every])
  const reload = useCallback(() => again.current(), [])
  return state.path === path ? { data: state.data, error: state.error, reload } : { reload }
}

export interface Info {
  version: string
  account: string
  region: string
  driver: string
  isolation: string
  warning?: string
  endpoint: string
}

export interface Runtime {
  id: string
  name: string
  arn: string
  status: string
  version: string
  protocol: string
  description?: string
  source: string
  failureReason?: string
  lastWords?: string[]
  endpoints: string[]
  sessions: number
  asleep: number
  createdAt: string
  updatedAt: string
  spendingToday: Spending // of all its sessions
  sessionBudget?: Spending // of each; none where nothing is limited
}

export interface Session {
  id: string
  sessionId: string
  runtimeArn: string
  endpoint: string
  owner: string
  version: string
  state: string
  createdAt: string
  lastActiveAt: string
  startedBy?: string
  startMs: number
  memoryBytes: number
  cpuMs: number
  sleepBytes?: number
  sleeps?: number
  wokeMs?: number
  endedAt?: string
  endReason?: string
  parentId?: string // of a fork
  spending: Spending
}
