// What comes in, as it comes in: one stream of events from the server, shared by all who listen.
import { useEffect, useSyncExternalStore } from 'react'
import type { Log } from './trace/types'

export interface Item {
  type: string
  traceId?: string
  sessionId?: string
  runtime?: string
  log?: Log
  missed?: number
}

const listeners = new Set<(item: Item) => void>()
let source: EventSource | undefined
let paused = false
const watchers = new Set<() => void>()

/** listenNow opens the stream where somebody listens and looks, and closes it else: a browser has few connections to a server. */
function listenNow() {
  const wanted = listeners.size > 0 && !paused && document.visibilityState === 'visible'
  if (!wanted) {
    source?.close()
    source = undefined
  } else if (!source) {
    source = new EventSource('/v1/tail')
    for (const type of ['trace', 'log']) source.addEventListener(type, (e) => tell(JSON.parse((e as MessageEvent<string>).data) as Item))
    source.addEventListener('error', () => source?.addEventListener('open', () => tell(gap), { once: true }))
  }
  return wanted
}

const tell = (item: Item) => listeners.forEach((f) => f(item))
const gap: Item = { type: 'gap', missed: 1 } // something may have come in meanwhile

document.addEventListener('visibilitychange', () => listenNow() && tell(gap))

function listen(hear: (item: Item) => void): () => void {
  listeners.add(hear)
  listenNow()
  return () => {
    listeners.delete(hear)
    listenNow()
  }
}

/** isPaused reports whether what is on the screen shall stay as it is. */
export const isPaused = () => paused

/** usePaused is whether pages follow what comes in, and how to stop and resume that. */
export function usePaused(): [boolean, (on: boolean) => void] {
  const now = useSyncExternalStore(subscribe, isPaused)
  return [now, setPaused]
}

function subscribe(f: () => void) {
  watchers.add(f)
  return () => void watchers.delete(f)
}

function setPaused(on: boolean) {
  paused = on
  if (listenNow()) tell(gap)
  watchers.forEach((f) => f())
}

/** useLive calls back, at most every 300 ms, when something came in that concerns the view. */
export function useLive(concerns: ((item: Item) => boolean) | null, then: () => void) {
  useEffect(() => {
    if (!concerns) return
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = listen((item) => {
      if (timer || !(concerns(item) || item.missed)) return
      timer = setTimeout(() => {
        timer = undefined
        then()
      }, 300)
    })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [concerns, then])
}

/** useItems calls back with everything that came in, a few times a second at most. */
export function useItems(hear: (items: Item[]) => void) {
  useEffect(() => {
    let waiting: Item[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = listen((item) => {
      waiting.push(item)
      timer ??= setTimeout(() => {
        const all = waiting
        waiting = []
        timer = undefined
        hear(all)
      }, 100)
    })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [hear])
}
