// What slows a runtime down, and what its failures said last.
import { useMemo } from 'react'
import { useData } from '../api'
import { count, duration } from '../format'
import { useMetric } from '../metrics'
import { useRange } from '../ranges'
import type { TraceSummary } from '../trace/types'
import { Empty, Figure, Link, Problem, Skeleton, Time } from '../ui'
import { href } from '../url'
import { lastWords } from '../words'

const shown = 8

/** SlowestSteps are the steps that took longest, as nineteen in twenty of them were faster. */
export function SlowestSteps({ runtime, endpoint }: { runtime?: string; endpoint?: string }) {
  const series = useMetric('moorage.spans', { runtime, endpoint, by: 'kind,name', over: 'whole' })
  const rows = useMemo(
    () =>
      series
        ?.filter((s) => s.points.length > 0 && s.labels.kind !== 'service')
        .map((s) => ({ kind: s.labels.kind!, name: s.labels.name!, ...s.points[0]! }))
        .sort((a, b) => b.p95 - a.p95)
        .slice(0, shown),
    [series],
  )
  return (
    <section className="panel">
      <header>
        <h2>Slowest spans</h2>
      </header>
      {rows?.length === 0 ? (
        <Empty title="No span in this time">What the agent reports by OpenTelemetry shows here.</Empty>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Slowest spans">
          <table>
            <thead>
              <tr>
                <th>Span</th>
                <th className="right wide">Times</th>
                <th className="right wide">Errors</th>
                <th className="right">p50</th>
                <th className="right">p95</th>
              </tr>
            </thead>
            {rows ? (
              <tbody>
                {rows.map((r) => (
                  <tr key={r.kind + r.name}>
                    <td className={'fill kind-' + r.kind} title={`${r.kind}: ${r.name}`}>
                      <span className="mark" /> {r.name || r.kind} <span className="dim">{r.kind}</span>
                    </td>
                    <td className="right wide">
                      <Figure of={count(r.count)} />
                    </td>
                    <td className="right wide num">{r.errors ? <span className="bad-text">{r.errors}</span> : <span className="dim">0</span>}</td>
                    <td className="right">
                      <Figure of={duration(r.p50)} />
                    </td>
                    <td className="right">
                      <Figure of={duration(r.p95)} />
                    </td>
                  </tr>
                ))}
              </tbody>
            ) : (
              <Skeleton rows={shown} columns={5} />
            )}
          </table>
        </div>
      )}
    </section>
  )
}

interface Group {
  words: string
  last: TraceSummary
  times: number
}

/** Failures groups failed calls by the last words of what went wrong, the most frequent first. */
export function Failures({ runtime, endpoint }: { runtime?: string; endpoint?: string }) {
  const [range] = useRange()
  const { data, error, reload } = useData<{ traces: TraceSummary[]; next?: string }>(`/v1/traces?failed=true&limit=500&${range.query}${runtime ? '&runtime=' + encodeURIComponent(runtime) : ''}${endpoint ? '&endpoint=' + encodeURIComponent(endpoint) : ''}`, 10_000)
  const groups = useMemo(() => data && grouped(data.traces), [data])
  return (
    <section className="panel">
      <header>
        <h2>Errors by last words</h2>
      </header>
      {error && <Problem error={error} retry={reload} />}
      {groups?.length === 0 && <Empty title="No errors in this time" />}
      <ul className="failures">
        {groups?.slice(0, shown).map((g) => (
          <li key={g.words}>
            <b className="num bad-text">×{g.times}</b>
            <Link to={href('/traces/' + g.last.traceId)} title={g.last.error}>
              <code>{g.words}</code>
            </Link>
            <span className="dim">
              <Time at={g.last.start} />
            </span>
          </li>
        ))}
      </ul>
      {data?.next && <p className="body dim">The newest 500 failures are grouped here.</p>}
    </section>
  )
}

const alike = (words: string) => words.replace(/[0-9a-f]{8,}(-[0-9a-f]{4,})*/gi, '…').replace(/\d+(\.\d+)?/g, '#')

function grouped(traces: TraceSummary[]): Group[] {
  const groups = new Map<string, Group>()
  for (const t of traces) {
    const words = lastWords(t.error)
    const g = groups.get(alike(words))
    g ? g.times++ : groups.set(alike(words), { words, last: t, times: 1 })
  }
  return [...groups.values()].sort((a, b) => b.times - a.times)
}
