import { type Runtime, useData } from '../api'
import { LogPanel } from '../logs'
import { Empty } from '../ui'
import { useQuery } from '../url'

export default function Logs() {
  const { data } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const [runtime, choose] = useQuery('runtime')
  const [text, setText] = useQuery('q')
  if (data?.runtimes.length === 0) return <Empty title="No agent runs here yet" />
  return (
    <div className="stack full">
      <div className="bar">
        <select aria-label="Runtime" value={runtime} onChange={(e) => choose(e.target.value)}>
          <option value="">every runtime</option>
          {data?.runtimes.map((r) => (
            <option key={r.id} value={r.id}>
              {r.name}
            </option>
          ))}
        </select>
      </div>
      <LogPanel runtime={runtime} filter={text} setFilter={setText} tall />
    </div>
  )
}
