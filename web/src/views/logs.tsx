import { type Runtime, useData } from '../api'
import { LogPanel } from '../logs'
import { Empty } from '../ui'
import { useQuery } from '../url'

export default function Logs() {
  const { data } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const [chosen, choose] = useQuery('runtime')
  const id = chosen || data?.runtimes[0]?.id
  if (data?.runtimes.length === 0) return <Empty title="No agent runs here yet" />
  return (
    <div className="stack">
      <div className="bar">
        <select aria-label="Runtime" value={id} onChange={(e) => choose(e.target.value)}>
          {data?.runtimes.map((r) => (
            <option key={r.id} value={r.id}>
              {r.name}
            </option>
          ))}
        </select>
      </div>
      {id && <LogPanel key={id} path={`/v1/runtimes/${encodeURIComponent(id)}/logs`} />}
    </div>
  )
}
