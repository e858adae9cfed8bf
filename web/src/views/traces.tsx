import { ranges } from '../ranges'
import { useData } from '../api'
import { useLive } from '../live'
import { count, duration, money, short } from '../format'
import type { TraceSummary } from '../trace/types'
import { Empty, Figure, Link, Problem, Skeleton, Time } from '../ui'
import { href, useQuery } from '../url'

const everything = () => true

export default function Traces() {
  const [range] = useQuery('range', '1h')
  const [runtime] = useQuery('runtime')
  const [failed, setFailed] = useQuery('failed')
  const { data, error, reload } = useData<{ traces: TraceSummary[] }>(`/v1/traces?since=${(ranges[range] ?? 36e5) / 6e4}m${runtime ? `&runtime=${encodeURIComponent(runtime)}` : ''}${failed ? '&failed=true' : ''}`, 15_000)
  useLive(everything, reload)
  return (
    <div className="stack">
      <div className="bar">
        <label className="bar">
          <input type="checkbox" checked={failed !== ''} onChange={(e) => setFailed(e.target.checked ? '1' : '')} /> only those with errors
        </label>
      </div>
      {error && <Problem error={error} retry={reload} />}
      <div className="panel">
        {data?.traces.length === 0 ? <Empty title="No trace in this time">Every call makes one. Spans that an agent ends show here within a second.</Empty> : <TraceTable traces={data?.traces} />}
      </div>
    </div>
  )
}

export function TraceTable({ traces }: { traces?: TraceSummary[] }) {
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th>Trace</th>
            <th>Name</th>
            <th className="right">Took</th>
            <th className="right wide">Spans</th>
            <th className="right wide">Model</th>
            <th className="right wide">Tools</th>
            <th className="right wide">Tokens</th>
            <th className="right wide">Cost</th>
            <th>Outcome</th>
            <th>Started</th>
          </tr>
        </thead>
        {traces ? (
          <tbody>
            {traces.map((t) => (
              <tr key={t.traceId}>
                <td className="mono">
                  <Link to={href('/traces/' + t.traceId)} title={t.traceId}>
                    {short(t.traceId)}
                  </Link>
                </td>
                <td>{t.name}</td>
                <td className="right">
                  <Figure of={duration(t.durationMs)} />
                </td>
                <td className="right wide" title={t.hidden ? `${t.hidden} of them plumbing` : undefined}>
                  <Figure of={count(t.spans - t.hidden)} />
                </td>
                <td className="right wide num">{t.modelCalls || ''}</td>
                <td className="right wide num">{t.toolCalls || ''}</td>
                <td className="right wide">{t.inputTokens + t.outputTokens ? <Figure of={count(t.inputTokens + t.outputTokens)} /> : ''}</td>
                <td className="right wide">{t.costUsd ? <Figure of={money(t.costUsd)} /> : ''}</td>
                <td title={t.error}>{t.errors ? <span className="status bad">{short(t.error || 'failed', 40)}</span> : <span className="dim">ok</span>}</td>
                <td className="dim">
                  <Time at={t.start} />
                </td>
              </tr>
            ))}
          </tbody>
        ) : (
          <Skeleton rows={8} columns={10} />
        )}
      </table>
    </div>
  )
}
