// What each endpoint of a runtime does: DEFAULT, and those that were named. One of them can be looked at alone.
import type { Runtime } from '../api'
import { count, duration } from '../format'
import { along, pick, useMetric, useTimes } from '../metrics'
import { Spark } from '../spark'
import { Figure } from '../ui'
import type { Row } from './sessions'

export default function Endpoints({ of: r, live, chosen, choose }: { of: Runtime; live?: Row[]; chosen: string; choose: (name: string) => void }) {
  const calls = useMetric('moorage.calls', { runtime: r.id, by: 'endpoint' })
  const whole = useMetric('moorage.calls', { runtime: r.id, by: 'endpoint', over: 'whole' })
  const { times } = useTimes(calls)
  if (r.endpoints.length < 2 && !chosen) return null
  const names = [...new Set([...r.endpoints, ...(chosen ? [chosen] : [])])]
  return (
    <section className="panel">
      <header>
        <h2 className="grow">Endpoints</h2>
        {chosen && <button onClick={() => choose('')}>All of them</button>}
      </header>
      <div className="scroll" tabIndex={0} role="region" aria-label="Endpoints">
        <table className="records">
          <thead>
            <tr>
              <th>Endpoint</th>
              <th className="right mid">Sessions</th>
              <th>Invocations</th>
              <th className="right">Errors</th>
              <th className="right wide">p50</th>
              <th className="right mid">p95</th>
            </tr>
          </thead>
          <tbody>
            {names.map((name) => {
              const sums = pick(whole, 'endpoint', name)?.points[0]
              const sessions = live?.filter((s) => s.live?.endpoint === name).length ?? 0
              return (
                <tr key={name} className={name === chosen ? 'opened' : undefined} onClick={() => choose(name === chosen ? '' : name)}>
                  <td>
                    <button className="plain" aria-pressed={name === chosen} onClick={(e) => (e.stopPropagation(), choose(name === chosen ? '' : name))}>
                      {name}
                    </button>
                  </td>
                  <td className="right mid num">{sessions || <span className="dim">0</span>}</td>
                  <td>
                    <span className="sparkline">
                      <span className="wide">
                        <Spark values={along(times, pick(calls, 'endpoint', name), (p) => p.count, 0)} color="--agent" label={`Invocations of ${name}`} />
                      </span>
                      <Figure of={count(sums?.count ?? 0)} />
                    </span>
                  </td>
                  <td className="right">{sums?.errors ? <span className="bad-text num">{sums.errors}</span> : <span className="dim num">0</span>}</td>
                  <td className="right wide">{sums ? <Figure of={duration(sums.p50)} /> : <span className="dim">–</span>}</td>
                  <td className="right mid">{sums ? <Figure of={duration(sums.p95)} /> : <span className="dim">–</span>}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
    </section>
  )
}
