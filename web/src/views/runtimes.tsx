import { type Runtime, useData } from '../api'
import { count } from '../format'
import { Command, Empty, Figure, Link, Problem, Skeleton, Status, Time } from '../ui'
import { href } from '../url'

export function Runtimes() {
  const { data, error, reload } = useData<{ runtimes: Runtime[] }>('/v1/runtimes', 3000)
  if (error && !data) return <Problem error={error} retry={reload} />
  if (data?.runtimes.length === 0)
    return (
      <div className="panel">
        <Empty title="No agent runs here yet">
          <p>These two commands deploy the example and talk to it:</p>
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
              <th>Version</th>
              <th className="wide">Protocol</th>
              <th className="right">Sessions</th>
              <th className="right wide">Asleep</th>
              <th className="wide">Source</th>
              <th className="wide">Updated</th>
            </tr>
          </thead>
          {data ? (
            <tbody>
              {data.runtimes.map((r) => (
                <tr key={r.id}>
                  <td>
                    <Link to={href('/runtimes/' + r.id)}>{r.name}</Link>
                  </td>
                  <td title={r.failureReason}>
                    <Status of={r.status} />
                  </td>
                  <td className="num">{r.version}</td>
                  <td className="wide">{r.protocol}</td>
                  <td className="right">
                    <Figure of={count(r.sessions)} />
                  </td>
                  <td className="right wide">
                    <Figure of={count(r.asleep)} />
                  </td>
                  <td className="mono dim wide" title={r.source}>
                    {r.source}
                  </td>
                  <td className="wide dim">
                    <Time at={r.updatedAt} />
                  </td>
                </tr>
              ))}
            </tbody>
          ) : (
            <Skeleton rows={4} columns={8} />
          )}
        </table>
      </div>
    </div>
  )
}
