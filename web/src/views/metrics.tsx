// Everything together: what all runtimes did, what it cost, and whom.
import { useMemo } from 'react'
import { Chart, sum } from '../chart'
import { count, duration, money } from '../format'
import { along, useMetric, useTimes } from '../metrics'
import { SessionTable, useSessions } from './sessions'
import Charts, { split } from './charts'
import { Failures, SlowestSteps } from './steps'

export default function Metrics() {
  const byModel = useMetric('moorage.cost', { by: 'model' })
  const byRuntime = useMetric('moorage.cost', { by: 'runtime' })
  const steps = useMetric('moorage.spans', { by: 'kind' })
  const { times } = useTimes(byModel)
  const lines = useMemo(
    () => ({
      model: split(times, byModel, 'model'),
      runtime: split(times, byRuntime, 'runtime'),
      steps: (steps ?? []).filter((s) => kinds[s.labels.kind!]).map((s) => ({ label: s.labels.kind!, color: kinds[s.labels.kind!]!, values: along(times, s, (p) => p.p95, null) })),
    }),
    [times, byModel, byRuntime, steps],
  )
  return (
    <div className="stack">
      <Charts />
      <div className="charts">
        <Chart title="Cost by model" lines={lines.model} times={times} show={money} total={sum} bars empty="No model was called in this time" />
        <Chart title="Cost by agent" lines={lines.runtime} times={times} show={money} total={sum} bars empty="No model was called in this time" />
        <Chart title="Steps by kind, p95" lines={lines.steps} times={times} show={duration} />
      </div>
      <div className="pair">
        <SlowestSteps />
        <Failures />
      </div>
      <Costliest />
    </div>
  )
}

const kinds: Record<string, string> = { model: '--model', tool: '--tool', agent: '--agent', retrieval: '--retrieval' }

function Costliest() {
  const { rows } = useSessions({ ended: true })
  const costly = useMemo(() => rows?.filter((r) => r.sums && r.sums.inputTokens > 0).sort((a, b) => b.sums!.costUsd - a.sums!.costUsd || b.sums!.inputTokens - a.sums!.inputTokens).slice(0, 8), [rows])
  if (costly?.length === 0) return null
  return (
    <section className="panel">
      <header>
        <h2>Costliest sessions</h2>
        <span className="dim">of the {count(rows?.length ?? 0).value} that were active last</span>
      </header>
      <SessionTable sessions={costly} />
    </section>
  )
}
