// The time that a page shows, shared by all its charts and lists, and held in the address.
import { useMemo } from 'react'
import { useQuery } from './url'

/** ranges are the times that end now, in ms. */
export const ranges: Record<string, number> = { '15m': 9e5, '1h': 36e5, '6h': 216e5, '24h': 864e5, '7d': 6048e5 }

/** whole is a step that makes one point of any time. */
export const whole = '1000000h'

export interface TimeRange {
  text: string // 1h, or two moments in seconds: 1764366000-1764369600
  length: number // ms
  step: number // seconds of a chart's point
  query: string // since, until and nothing else, for the server
  fixed?: { from: number; to: number } // seconds; absent for what ends now
}

/** useRange is the time that the page shows, and how to set it. */
export function useRange(): [TimeRange, (text: string) => void] {
  const [text, set] = useQuery('range', '1h')
  return [useMemo(() => parse(text), [text]), set]
}

function parse(text: string): TimeRange {
  const [from, to] = text.split('-').map(Number)
  if (from && to && to > from) {
    const moment = (s: number) => encodeURIComponent(new Date(s * 1000).toISOString())
    return { text, length: (to - from) * 1000, step: stepFor((to - from) * 1000), query: `since=${moment(from)}&until=${moment(to)}`, fixed: { from, to } }
  }
  const known = ranges[text] ? text : '1h'
  return { text: known, length: ranges[known]!, step: stepFor(ranges[known]!), query: `since=${ranges[known]! / 6e4}m` }
}

/** stepFor makes sixty to a hundred points, in seconds. */
const stepFor = (length: number) => (length <= 36e5 ? 60 : length <= 216e5 ? 300 : length <= 864e5 ? 900 : 7200)

/** bounds is a range's begin and end in seconds, on whole steps. */
export function bounds(r: TimeRange, now = Date.now() / 1000): { from: number; to: number } {
  const up = (s: number) => Math.ceil(s / r.step) * r.step
  return r.fixed ? { from: Math.floor(r.fixed.from / r.step) * r.step, to: up(r.fixed.to) } : { from: up(now) - r.length / 1000, to: up(now) }
}

/** said is a range in words. */
export function said(r: TimeRange): string {
  if (!r.fixed) return 'last ' + r.text.replace(/(\d+)/, '$1 ')
  const at = (s: number) => new Date(s * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false })
  return `${at(r.fixed.from)} to ${at(r.fixed.to)}`
}
