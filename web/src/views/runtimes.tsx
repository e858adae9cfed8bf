import { type Runtime, useData } from '../api'
import { count, duration, money } from '../format'
import { along, pick, type Point, type Series, useMetric, useTimes } from '../metrics'
import { said } from '../ranges'
import { Spark } from '../spark'
import { Command, Empty, Figure, Link, Problem, Skeleton, Status } from '../ui'
import { href } from '../url'

export function Runtimes() {
  const { data, error, reload } = useData<{ runtimes: Runtime[] }>('/v1/runtimes', 3000)
  const measured = useMeasures()
  if (error && !data) return <Problem error={error} retry={reload} />
  if (data?.runtimes.length === 0)
    return (
      <div className="panel">
        <Empty title="No agent runs here yet">
          <p>These two commands deploy an example and talk to it:</p>
          <Command text="moorage deploy examples/hello-python --name hello" />
          <Command text={'moorage invoke --name hello "What can you do?"'} />
        </Empty>
      </div>
    )
  return (
    <div className="stack">
      {error && <Problem error={error} retry={reload} />}
      <div className="panel scroll">
        <table>
          <thead>
            <tr>
              <th>Runtime</th>
              <th>Status</th>
              <th className="right mid">Version</th>
              <th className="right">Sessions</th>
              <th>Invocations</th>
              <th className="wide">Errors</th>
              <th className="right mid">p50</th>
              <th className="right mid">p95</th>
              <th className="right wide">Tokens today</th>
              <th className="right wide">Cost today</th>
            </tr>
          </thead>
          {data ? (
            <tbody>
              {data.runtimes.map((r) => (
                <Row key={r.id} of={r} measured={measured} />
              ))}
            </tbody>
          ) : (
            <Skeleton rows={4} columns={10} />
          )}
        </table>
      </div>
      {data && <p className="dim">Invocations, errors and latencies are of the {said(measured.range)}.</p>}
    </div>
  )
}

/** useMeasures asks for what all the runtimes did, each figure at once. */
function useMeasures() {
  const calls = useMetric('moorage.calls', { by: 'runtime' })
  const { range, times } = useTimes(calls)
  return {
    range, times, calls,
    latency: useMetric('moorage.calls', { by: 'runtime', over: 'whole' }),
    input: useMetric('moorage.tokens.input', { by: 'runtime', over: 'today' }),
    output: useMetric('moorage.tokens.output', { by: 'runtime', over: 'today' }),
    cost: useMetric('moorage.cost', { by: 'runtime', over: 'today' }),
  }
}

const total = (series: Series[] | undefined, id: string, of: (p: Point) => number) => pick(series, 'runtime', id)?.points.reduce((all, p) => all + of(p), 0) ?? 0

function Row({ of: r, measured: m }: { of: Runtime; measured: ReturnType<typeof useMeasures> }) {
  const mine = pick(m.calls, 'runtime', r.id)
  const [made, failed] = [total(m.calls, r.id, (p) => p.count), total(m.calls, r.id, (p) => p.errors ?? 0)]
  const latency = pick(m.latency, 'runtime', r.id)?.points[0]
  const tokens = total(m.input, r.id, (p) => p.sum) + total(m.output, r.id, (p) => p.sum)
  const cost = total(m.cost, r.id, (p) => p.sum)
  return (
    <tr>
      <td>
        <Link to={href('/runtimes/' + r.id)} title={r.id}>
          {r.name}
        </Link>
      </td>
      <td title={r.failureReason}>
        <Status of={r.status} />
      </td>
      <td className="right mid num">{r.version}</td>
      <td className="right num" title={r.asleep ? `${r.sessions - r.asleep} live, ${r.asleep} asleep` : undefined}>
        {r.sessions || <span className="dim">0</span>}
        {r.asleep > 0 && <span className="unit wide">{r.asleep} asleep</span>}
      </td>
      <td>
        <span className="sparkline">
          <span className="wide">
            <Spark values={along(m.times, mine, (p) => p.count, 0)} color="--agent" label={`Invocations of ${r.name}`} />
          </span>
          <Figure of={count(made)} />
        </span>
      </td>
      <td className="wide">
        <span className="sparkline">
          <Spark values={along(m.times, mine, (p) => p.errors ?? 0, 0)} color="--error" label={`Errors of ${r.name}`} />
          {failed ? (
            <span className="bad-text">
              <Figure of={count(failed)} /> <span className="unit">{((100 * failed) / made).toPrecision(2)} %</span>
            </span>
          ) : (
            <span className="dim num">0</span>
          )}
        </span>
      </td>
      <td className="right mid">{latency ? <Figure of={duration(latency.p50)} /> : <span className="dim">–</span>}</td>
      <td className="right mid">{latency ? <Figure of={duration(latency.p95)} /> : <span className="dim">–</span>}</td>
      <td className="right wide">{tokens ? <Figure of={count(tokens)} /> : <span className="dim">–</span>}</td>
      <td className="right wide">{cost ? <Figure of={money(cost)} /> : <span className="dim">–</span>}</td>
    </tr>
  )
}
