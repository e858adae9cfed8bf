// The six charts of a runtime, or of all of them.
import { useMemo } from 'react'
import { ranges } from '../ranges'
import { useData } from '../api'
import { Chart, type Line } from '../chart'
import { count, duration, money } from '../format'
import { useQuery } from '../url'

interface Point {
  time: string
  count: number
  errors?: number
  sum: number
  p50: number
  p95: number
  p99: number
}

interface Answer {
  series: { labels: Record<string, string>; points: Point[] }[]
}

const palette = ['--model', '--agent', '--tool', '--retrieval', '--throttle', '--http']

/** useMetric asks for a metric in the page's time range. */
function useMetric(name: string, runtime: string | undefined, by = ''): Answer['series'] | undefined {
  const [range] = useQuery('range', '1h')
  const { data } = useData<Answer>(`/v1/metrics?name=${name}&since=${ranges[range]! / 6e4}m${runtime ? '&runtime=' + encodeURIComponent(runtime) : ''}${by && '&by=' + by}`, 10_000)
  return data?.series
}

const pick = (series: Answer['series'] | undefined, of: (p: Point) => number) => new Map((series?.[0]?.points ?? []).map((p) => [Math.floor(Date.parse(p.time) / 1000), of(p)]))

function split(series: Answer['series'] | undefined, label: string, of: (p: Point) => number): Line[] {
  return (series ?? []).slice(0, palette.length).map((s, i) => ({
    label: s.labels[label] || 'other', color: palette[i]!, points: new Map(s.points.map((p) => [Math.floor(Date.parse(p.time) / 1000), of(p)])),
  }))
}

export default function Charts({ runtime }: { runtime?: string }) {
  const [range] = useQuery('range', '1h')
  const calls = useMetric('moorage.calls', runtime)
  const faults = useMetric('moorage.calls.failed', runtime, 'fault')
  const input = useMetric('moorage.tokens.input', runtime, 'model')
  const output = useMetric('moorage.tokens.output', runtime, 'model')
  const cost = useMetric('moorage.cost', runtime)
  const steps = useMetric('moorage.spans', runtime, 'kind')
  const to = Math.ceil(Date.now() / 60_000) * 60
  const from = to - ranges[range]! / 1000
  const lines = useMemo(
    () => ({
      calls: [{ label: 'invocations', color: '--agent', points: pick(calls, (p) => p.count), filled: true }],
      faults: split(faults, 'fault', (p) => p.count).map((l) => ({ ...l, color: { system: '--error', throttle: '--throttle', user: '--http' }[l.label] ?? l.color })),
      latency: [
        { label: 'p50', color: '--retrieval', points: pick(calls, (p) => p.p50) },
        { label: 'p95', color: '--tool', points: pick(calls, (p) => p.p95) },
        { label: 'p99', color: '--error', points: pick(calls, (p) => p.p99) },
      ],
      tokens: [...split(input, 'model', (p) => p.sum).map((l) => ({ ...l, label: l.label + ' in' })), ...split(output, 'model', (p) => p.sum).map((l, i) => ({ ...l, label: l.label + ' out', color: palette[(i + 1) % palette.length]! }))],
      cost: [{ label: 'cost', color: '--model', points: pick(cost, (p) => p.sum), filled: true }],
      steps: split(steps, 'kind', (p) => p.p95),
    }),
    [calls, faults, input, output, cost, steps],
  )
  return (
    <div className="charts">
      <Chart title="Invocations" lines={lines.calls} from={from} to={to} show={count} />
      <Chart title="Errors" lines={lines.faults} from={from} to={to} show={count} />
      <Chart title="Latency" lines={lines.latency} from={from} to={to} show={duration} />
      <Chart title="Tokens by model" lines={lines.tokens} from={from} to={to} show={count} />
      <Chart title="Cost" lines={lines.cost} from={from} to={to} show={money} />
      <Chart title="Steps by kind, p95" lines={lines.steps} from={from} to={to} show={duration} />
    </div>
  )
}
