// Two runs beside each other: the same steps in one row, what only one of them took marked so.
import { useMemo } from 'react'
import { useData } from '../api'
import { clock, count, duration, money, short } from '../format'
import { Empty, Figure, Problem } from '../ui'
import { useQuery } from '../url'
import { Tree } from './tree'
import type { Kind, Span, Trace, TraceSummary } from './types'

/** Side is what one run did of a step, all the times that it was taken together. */
interface Side {
  times: number
  ms: number
  tokens: number
  errors: number
  first: Span
}

/** Step is what both runs call by the same name at the same place. */
interface Step {
  name: string
  kind: Kind
  depth: number
  sides: [Side?, Side?]
  below: Map<string, Step>
}

export function Compare({ trace }: { trace: Trace }) {
  const [other, setOther] = useQuery('with')
  const { data: runs } = useData<{ traces: TraceSummary[] }>(`/v1/traces?limit=50${trace.runtime ? '&runtime=' + encodeURIComponent(trace.runtime) : ''}`)
  const choices = runs?.traces.filter((t) => t.traceId !== trace.traceId) ?? []
  const chosen = other || choices[0]?.traceId
  const { data: second, error, reload } = useData<Trace>(chosen ? '/v1/traces/' + chosen : null)
  if (runs && choices.length === 0 && !other) return <Empty title="There is no other run to compare with">The next call of this runtime makes one.</Empty>
  return (
    <div className="panel compare">
      <header>
        <span className="dim">this run with</span>
        <select aria-label="The other run" value={chosen ?? ''} onChange={(e) => setOther(e.target.value)}>
          {other && !choices.some((t) => t.traceId === other) && <option value={other}>{short(other)}</option>}
          {choices.map((t) => (
            <option key={t.traceId} value={t.traceId}>
              {clock(t.start).slice(0, 8)} · {short(t.traceId)} · {duration(t.durationMs).value} {duration(t.durationMs).unit}
              {t.errors ? ' · failed' : ''}
            </option>
          ))}
        </select>
      </header>
      {error && <Problem error={error} retry={reload} />}
      {second && <Table of={[trace, second]} />}
    </div>
  )
}

function Table({ of }: { of: [Trace, Trace] }) {
  const rows = useMemo(() => flat(aligned(of)), [of[0].traceId, of[0].spans.length, of[1].traceId, of[1].spans.length])
  const most = Math.max(...rows.flatMap((r) => r.sides.map((s) => s?.ms ?? 0)))
  const total = (t: Trace): Side => ({ times: t.spans.length - t.hidden, ms: t.durationMs, tokens: t.inputTokens + t.outputTokens, errors: t.errors, first: t.spans[0]! })
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th>Step</th>
            <th className="right">This run</th>
            <th className="right">Other run</th>
            <th className="right">The other is</th>
            <th className="wide">
              <span className="hidden-text">Lengths</span>
            </th>
            <th className="right mid">Tokens</th>
          </tr>
        </thead>
        <tbody>
          <tr className="sum">
            <td>
              Whole <span className="dim">{of.map((t) => money(t.costUsd).value).join(' and ')}</span>
            </td>
            <Sides of={[total(of[0]), total(of[1])]} most={most} count={false} />
          </tr>
          {rows.map((r, i) => (
            <tr key={i} className={'kind-' + r.kind}>
              <td style={{ paddingLeft: 12 + Math.min(r.depth, 12) * 12 }} title={r.name}>
                <span className="mark" /> {r.name} {!r.sides[0] && <span className="only">only in the other</span>}
                {!r.sides[1] && <span className="only">only in this run</span>}
              </td>
              <Sides of={r.sides} most={most} count />
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Sides({ of: [a, b], most, count: counted }: { of: [Side?, Side?]; most: number; count: boolean }) {
  const figure = (s?: Side) =>
    s ? (
      <>
        {counted && s.times > 1 && <span className="unit">×{s.times} </span>}
        <Figure of={duration(s.ms)} />
        {s.errors > 0 && <span className="bad-text"> failed</span>}
      </>
    ) : (
      <span className="dim">–</span>
    )
  const change = a && b ? b.ms - a.ms : 0
  const matters = a && b && Math.abs(change) > 5 && Math.abs(change) > 0.1 * Math.max(a.ms, b.ms)
  const tokens = (a?.tokens ?? 0) || (b?.tokens ?? 0)
  return (
    <>
      <td className="right">{figure(a)}</td>
      <td className="right">{figure(b)}</td>
      <td className="right">
        {matters ? (
          <span className={change > 0 ? 'bad-text' : 'good-text'}>
            <Figure of={duration(Math.abs(change))} /> {change > 0 ? 'slower' : 'faster'}
          </span>
        ) : (
          <span className="dim">{a && b ? 'alike' : ''}</span>
        )}
      </td>
      <td className="wide lengths">
        {[a, b].map((s, i) => (
          <div key={i} className={i ? 'length other' : 'length'} style={{ width: s ? `${Math.max(0.5, (100 * s.ms) / most)}%` : 0 }} />
        ))}
      </td>
      <td className="right mid">
        {tokens ? (
          <>
            <Figure of={count(a?.tokens ?? 0)} /> <span className="dim">and</span> <Figure of={count(b?.tokens ?? 0)} />
          </>
        ) : (
          ''
        )}
      </td>
    </>
  )
}

function aligned(of: [Trace, Trace]): Map<string, Step> {
  const top = new Map<string, Step>()
  of.forEach((trace, side) => {
    const tree = new Tree(trace.spans)
    const add = (span: Span, into: Map<string, Step>, depth: number) => {
      const key = span.kind + ' ' + span.name
      const step = into.get(key) ?? { name: span.name, kind: span.kind, depth, sides: [undefined, undefined], below: new Map() }
      into.set(key, step)
      const s = (step.sides[side] ??= { times: 0, ms: 0, tokens: 0, errors: 0, first: span })
      s.times++
      s.ms += span.durationMs
      s.tokens += span.model?.counted ? span.model.inputTokens + span.model.outputTokens : 0
      s.errors += span.status === 'error' ? 1 : 0
      for (const child of tree.shownChildren(span, false)) add(child, step.below, depth + 1)
    }
    for (const root of tree.roots) if (!root.noise) add(root, top, 0)
  })
  return top
}

/** flat lists steps in the order in which a run took them first. */
function flat(steps: Map<string, Step>): Step[] {
  const start = (s: Step) => (s.sides[0] ?? s.sides[1])!.first.offsetMs
  return [...steps.values()].sort((a, b) => start(a) - start(b)).flatMap((s) => [s, ...flat(s.below)])
}
