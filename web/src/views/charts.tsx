// The charts of a runtime, or of all of them, and what its steps and failures add up to.
import { useMemo } from 'react'
import { Chart, type Line, sum } from '../chart'
import { count, duration } from '../format'
import { nameOf } from '../crumbs'
import { along, type Point, type Series, useMetric, useTimes } from '../metrics'
import { model } from '../trace/names'
import { SessionsChart, UsageChart } from './usage'

const palette = ['--model', '--agent', '--tool', '--retrieval', '--throttle', '--http']
const faults: [string, string, string][] = [['system', 'system', '--error'], ['user', "the agent's", '--tool'], ['throttle', 'throttled', '--throttle']]

/** split makes a line of each of a metric's series, the largest first. */
export function split(times: number[], series: Series[] | undefined, label: string, after = '', color = 0): Line[] {
  const all = (series ?? []).map((s) => ({ s, sum: s.points.reduce((n, p) => n + p.sum, 0) })).sort((a, b) => b.sum - a.sum)
  return all.slice(0, palette.length).map(({ s }, i) => ({ label: nameOf(model(s.labels[label] || 'unknown')) + after, color: palette[(i + color) % palette.length]!, values: along(times, s, (p) => p.sum, 0) }))
}

export default function Charts({ runtime, endpoint }: { runtime?: string; endpoint?: string }) {
  const calls = useMetric('moorage.calls', { runtime, endpoint })
  const failed = useMetric('moorage.calls.failed', { runtime, endpoint, by: 'fault' })
  const input = useMetric('moorage.tokens.input', { runtime, endpoint, by: 'model' })
  const output = useMetric('moorage.tokens.output', { runtime, endpoint, by: 'model' })
  const { times } = useTimes(calls)
  const lines = useMemo(() => {
    const one = (label: string, color: string, of: (p: Point) => number, none: number | null): Line => ({ label, color, values: along(times, calls?.[0], of, none) })
    return {
      calls: [one('invocations', '--agent', (p) => p.count, 0)],
      faults: faults.map(([fault, label, color]): Line => ({ label, color, values: along(times, failed?.find((s) => s.labels.fault === fault), (p) => p.count, 0) })),
      latency: [one('p50', '--retrieval', (p) => p.p50, null), one('p95', '--tool', (p) => p.p95, null), one('p99', '--error', (p) => p.p99, null)],
      tokens: [...split(times, input, 'model', ' in'), ...split(times, output, 'model', ' out', 2)],
    }
  }, [times, calls, failed, input, output])
  return (
    <div className="charts">
      <Chart title="Invocations" lines={lines.calls} times={times} show={count} total={sum} bars />
      <Chart title="Errors" lines={lines.faults} times={times} show={count} total={sum} bars empty="No errors in this time" />
      <Chart title="Latency" lines={lines.latency} times={times} show={duration} />
      <SessionsChart runtime={runtime} endpoint={endpoint} />
      <Chart title="Tokens by model" lines={lines.tokens} times={times} show={count} total={sum} bars empty="No model was called in this time" />
      <UsageChart runtime={runtime} endpoint={endpoint} />
    </div>
  )
}
