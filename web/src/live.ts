// What comes in, as it comes in: one stream of events from the server, shared by all who listen.
import { useEffect } from 'react'
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

function open() {
  source = new EventSource('/v1/tail')
  for (const type of ['trace', 'log']) source.addEventListener(type, (e) => listeners.forEach((f) => f(JSON.parse((e as MessageEvent<string>).data) as Item)))
}

function listen(hear: (item: Item) => void): () => void {
  listeners.add(hear)
  if (!source) open()
  return () => {
    listeners.delete(hear)
    if (listeners.size > 0) return
    source?.close()
    source = undefined
  }
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
