import { useRange } from '../ranges'
import { type Runtime, useData } from '../api'
import { useLive } from '../live'
import { nameOf } from '../crumbs'
import { count, duration, money, short } from '../format'
import type { TraceSummary } from '../trace/types'
import { Text } from '../trace/text'
import { Empty, Figure, Link, Problem, Skeleton, Time } from '../ui'
import { href, useQuery } from '../url'
import { lastWords } from '../words'

const everything = () => true

export default function Traces() {
  const [range] = useRange()
  const [runtime, setRuntime] = useQuery('runtime')
  const { data: known } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const [failed, setFailed] = useQuery('failed')
  const { data, error, reload } = useData<{ traces: TraceSummary[] }>(`/v1/traces?limit=200&${range.query}${runtime ? `&runtime=${encodeURIComponent(runtime)}` : ''}${failed ? '&failed=true' : ''}`, 15_000)
  useLive(everything, reload)
  return (
    <div className="stack">
      <div className="bar">
        <select aria-label="Runtime" value={runtime} onChange={(e) => setRuntime(e.target.value)}>
          <option value="">every runtime</option>
          {known?.runtimes.map((r) => (
            <option key={r.id} value={r.id}>
              {r.name}
            </option>
          ))}
        </select>
        <label className="bar">
          <input type="checkbox" checked={failed !== ''} onChange={(e) => setFailed(e.target.checked ? '1' : '')} /> only those with errors
        </label>
      </div>
      {error && <Problem error={error} retry={reload} />}
      <div className="panel" hidden={!!error && !data}>
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
            <th>Runtime</th>
            <th className="right">Took</th>
            <th className="right mid">Spans</th>
            <th className="right wide">Model</th>
            <th className="right wide">Tools</th>
            <th className="right wide">Tokens</th>
            <th className="right wide">Cost</th>
            <th>Outcome</th>
            <th className="mid">Started</th>
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
                <td title={t.name}>
                  {t.runtime ? nameOf(t.runtime) : t.name} <span className="dim wide">{t.runtime && t.name !== 'InvokeAgentRuntime' ? t.name : ''}</span>
                </td>
                <td className="right">
                  <Figure of={duration(t.durationMs)} />
                </td>
                <td className="right mid" title={t.hidden ? `${t.hidden} of them plumbing` : undefined}>
                  <Figure of={count(t.spans - t.hidden)} />
                </td>
                <td className="right wide num">{t.modelCalls || ''}</td>
                <td className="right wide num">{t.toolCalls || ''}</td>
                <td className="right wide">{t.inputTokens + t.outputTokens ? <Figure of={count(t.inputTokens + t.outputTokens)} /> : ''}</td>
                <td className="right wide">{t.costUsd ? <Figure of={money(t.costUsd)} /> : ''}</td>
                <td title={t.error}>
                  {t.errors ? (
                    <span className="status bad">
                      <Text of={short(lastWords(t.error), 48)} />
                    </span>
                  ) : (
                    <span className="dim">ok</span>
                  )}
                </td>
                <td className="dim mid">
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
