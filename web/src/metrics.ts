// What was measured over time: see GET /v1/metrics.
import { useMemo } from 'react'
import { useData } from './api'
import { bounds, type TimeRange, useRange, whole } from './ranges'

export interface Point {
  time: string
  count: number
  errors?: number
  sum: number
  min: number
  max: number
  mean: number
  p50: number
  p95: number
  p99: number
}

export interface Series {
  labels: Record<string, string>
  points: Point[]
}

interface Asked {
  runtime?: string
  endpoint?: string
  by?: string // labels to split by, with commas between
  over?: 'steps' | 'whole' | 'today'
}

const midnight = () => new Date(new Date().setHours(0, 0, 0, 0)).toISOString()

/** useMetric asks for a metric in the page's time, again every ten seconds. */
export function useMetric(name: string, { runtime, endpoint, by, over = 'steps' }: Asked = {}): Series[] | undefined {
  const [range] = useRange()
  const since = over === 'today' ? 'since=' + encodeURIComponent(midnight()) : range.query
  const step = over === 'steps' ? range.step + 's' : whole
  const path = `/v1/metrics?name=${name}&${since}&step=${step}${runtime ? '&runtime=' + encodeURIComponent(runtime) : ''}${endpoint ? '&endpoint=' + encodeURIComponent(endpoint) : ''}${by ? '&by=' + by : ''}`
  return useData<{ series: Series[] }>(path, 10_000).data?.series
}

/** seconds is when a point's step begins. */
export const seconds = (p: Point) => Math.floor(Date.parse(p.time) / 1000)

/** useTimes lists the steps of the page's time, in seconds, as they are when what they are for came. */
export function useTimes(of: unknown): { range: TimeRange; times: number[] } {
  const [range] = useRange()
  return useMemo(() => {
    const { from, to } = bounds(range)
    return { range, times: Array.from({ length: Math.round((to - from) / range.step) }, (_, i) => from + i * range.step) }
  }, [range, of])
}

/** along gives each time its value; none where nothing was measured, unless that means zero. */
export function along(times: number[], series: Series | undefined, of: (p: Point) => number, none: number | null): (number | null)[] {
  const known = new Map((series?.points ?? []).map((p) => [seconds(p), of(p)]))
  return times.map((t) => known.get(t) ?? none)
}

/** pick finds the series of a label's value. */
export const pick = (series: Series[] | undefined, label: string, value: string) => series?.find((s) => s.labels[label] === value)
