// What sessions take: how many there are, and the processor and memory that they use together.
import { useMemo } from 'react'
import { Chart, type Line } from '../chart'
import { bytes, count, type Quantity } from '../format'
import { type Point, seconds, type Series, useMetric, useTimes } from '../metrics'

const processors = (v: number): Quantity => ({ value: Number(v.toPrecision(2)).toString(), unit: '' })
const line = (label: string, color: string, values: (number | null)[]): Line => ({ label, color, values })

const fresh = 180 // seconds that a measure holds; where sessions are, there is one each minute

/** together adds up what the places of a metric measured, for each time; a measure holds for a while. */
function together(times: number[], series: Series[], of: (p: Point) => number): (number | null)[] {
  const step = times.length > 1 ? times[1]! - times[0]! : 60
  const now = Date.now() / 1000
  const each = series.map((s) => ({ known: new Map(s.points.map((p) => [Math.floor(seconds(p) / step) * step, of(p)])), value: 0, until: 0 }))
  let begun = false
  return times.map((t) => {
    let all = 0
    for (const place of each) {
      const measured = place.known.get(t)
      if (measured !== undefined) [place.value, place.until] = [measured, t + Math.max(fresh, step)]
      begun ||= measured !== undefined
      all += t < place.until ? place.value : 0
    }
    return begun && t <= now ? all : null
  })
}

export function SessionsChart({ runtime, endpoint }: { runtime?: string; endpoint?: string }) {
  const sessions = useMetric('moorage.sessions', { runtime, endpoint, by: 'runtime,endpoint,state' })
  const { times } = useTimes(sessions)
  const lines = useMemo(() => {
    const of = (state: string) => together(times, (sessions ?? []).filter((s) => s.labels.state === state), (p) => p.max)
    return [line('live', '--ok', of('live')), line('asleep', '--asleep', of('asleep'))].map((l) => ({ ...l, stepped: true }))
  }, [times, sessions])
  return <Chart title="Sessions" lines={lines} times={times} show={count} empty="No session in this time" />
}

/** UsageChart draws the processor to the left and memory to the right. */
export function UsageChart({ runtime, endpoint }: { runtime?: string; endpoint?: string }) {
  const cpu = useMetric('moorage.cpu', { runtime, endpoint, by: 'runtime,endpoint' })
  const memory = useMetric('moorage.memory', { runtime, endpoint, by: 'runtime,endpoint' })
  const { times } = useTimes(cpu)
  const lines = useMemo(() => [line('CPU', '--agent', together(times, cpu ?? [], (p) => p.mean)), { ...line('memory', '--retrieval', together(times, memory ?? [], (p) => p.mean)), show: bytes }], [times, cpu, memory])
  return <Chart title="CPU and memory" lines={lines} times={times} show={processors} empty="Nothing ran in this time" />
}
