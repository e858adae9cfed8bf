// What comes in, as it comes in: one stream of events from the server, shared by all who listen.
import { useEffect } from 'react'

export interface Item {
  type: string
  traceId?: string
  sessionId?: string
  runtime?: string
}

const listeners = new Set<(item: Item) => void>()
let source: EventSource | undefined

function open() {
  source = new EventSource('/v1/tail')
  for (const type of ['trace', 'log']) source.addEventListener(type, (e) => listeners.forEach((f) => f(JSON.parse((e as MessageEvent<string>).data) as Item)))
}

/** useLive calls back, at most every 300 ms, when something came in that concerns the view. */
export function useLive(concerns: ((item: Item) => boolean) | null, then: () => void) {
  useEffect(() => {
    if (!concerns) return
    let timer: ReturnType<typeof setTimeout> | undefined
    const hear = (item: Item) => {
      if (timer || !concerns(item)) return
      timer = setTimeout(() => {
        timer = undefined
        then()
      }, 300)
    }
    listeners.add(hear)
    if (!source) open()
    return () => {
      listeners.delete(hear)
      clearTimeout(timer)
      if (listeners.size === 0) {
        source?.close()
        source = undefined
      }
    }
  }, [concerns === null, then])
}
