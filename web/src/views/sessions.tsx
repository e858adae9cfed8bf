import { useMemo, useState } from 'react'
import { type Refusal, type Runtime, type Session, useData } from '../api'
import { bytes, count, duration, money, short } from '../format'
import { useRange } from '../ranges'
import type { SessionSummary } from '../trace/types'
import { Command, Empty, Figure, Link, Problem, Skeleton, Status, Time } from '../ui'
import { href, useQuery } from '../url'

/** Row is a session as it lives here, as its traces add up, or both. */
export interface Row {
  id: string
  name: string // the caller's own id
  runtime: string
  state: string
  last: string
  live?: Session
  sums?: SessionSummary
}

const page = 100
const most = 1000

/** useSessions lists the sessions that live, and those that were active in the page's time, the last active first. */
export function useSessions({ runtime = '', ended }: { runtime?: string; ended: boolean }) {
  const [range] = useRange()
  const [limit, setLimit] = useState(page)
  const of = runtime && 'runtime=' + encodeURIComponent(runtime)
  const live = useData<{ sessions: Session[] }>('/v1/sessions' + (of && '?' + of), 2000)
  const past = useData<{ sessions: SessionSummary[]; next?: string }>(`/v1/telemetry/sessions?${range.query}&limit=${limit}${of && '&' + of}`, 5000)
  const rows = useMemo(() => live.data && past.data && merged(live.data.sessions, past.data.sessions, ended), [live.data, past.data, ended])
  const more = past.data?.next && limit < most ? () => setLimit(Math.min(most, limit + 300)) : undefined
  return { rows, more, error: (live.error ?? past.error) as Refusal | undefined, reload: live.reload }
}

function merged(live: Session[], past: SessionSummary[], ended: boolean): Row[] {
  const rows = new Map<string, Row>()
  for (const s of live) rows.set(s.id, { id: s.id, name: s.sessionId, runtime: runtimeOf(s), state: s.state, last: s.lastActiveAt, live: s })
  for (const s of past) {
    const row = rows.get(s.sessionId)
    if (row) row.sums = s
    else if (ended) rows.set(s.sessionId, { id: s.sessionId, name: s.callerSessionId || s.sessionId, runtime: s.runtime ?? '', state: 'ended', last: s.last, sums: s })
  }
  return [...rows.values()].sort((a, b) => Date.parse(b.last) - Date.parse(a.last))
}

export const runtimeOf = (s: Session) => s.runtimeArn.slice(s.runtimeArn.lastIndexOf('/') + 1)

export function Sessions() {
  const [live, setLive] = useQuery('live')
  const [text, setText] = useQuery('q')
  const [runtime] = useQuery('runtime')
  const { rows, more, error, reload } = useSessions({ runtime, ended: !live })
  const { data } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const names = useMemo(() => new Map(data?.runtimes.map((r) => [r.id, r.name])), [data])
  const shown = rows?.filter((s) => !text || [s.id, s.name, s.runtime, s.state, s.live?.owner].some((f) => f?.includes(text)))
  return (
    <div className="stack">
      <div className="bar">
        <input type="search" placeholder="Filter by id, runtime, owner or state" aria-label="Filter" value={text} onChange={(e) => setText(e.target.value)} size={36} />
        <label className="bar">
          <input type="checkbox" checked={live !== ''} onChange={(e) => setLive(e.target.checked ? '1' : '')} /> only those alive
        </label>
      </div>
      {error && <Problem error={error} retry={reload} />}
      <div className="panel" hidden={!!error && !shown}>
        {shown?.length === 0 ? (
          <Empty title={text ? 'No session matches' : live ? 'No session is alive' : 'No session in this time'}>
            {!text && <Command text={'moorage invoke --name NAME "What can you do?"'} />}
          </Empty>
        ) : (
          <SessionTable sessions={shown} names={names} />
        )}
      </div>
      {more && (
        <div>
          <button onClick={more}>Show more</button>
        </div>
      )}
    </div>
  )
}

/** SessionTable shows the runtime where it is given runtimes' names. */
export function SessionTable({ sessions, names }: { sessions?: Row[]; names?: Map<string, string> }) {
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th>Session</th>
            <th>State</th>
            {names && <th className="mid">Runtime</th>}
            <th className="right wide">Turns</th>
            <th className="right mid">Errors</th>
            <th className="right mid">p95</th>
            <th className="right wide">Tokens</th>
            <th className="right wide">Cost</th>
            <th className="right wide">Memory</th>
            <th>Active</th>
          </tr>
        </thead>
        {sessions ? (
          <tbody>
            {sessions.map((s) => (
              <SessionRow key={s.id} of={s} names={names} />
            ))}
          </tbody>
        ) : (
          <Skeleton rows={6} columns={names ? 10 : 9} />
        )}
      </table>
    </div>
  )
}

const none = <span className="dim">–</span>

function SessionRow({ of: s, names }: { of: Row; names?: Map<string, string> }) {
  const tokens = s.sums ? s.sums.inputTokens + s.sums.outputTokens : 0
  return (
    <tr>
      <td className="mono">
        <Link to={href('/sessions/' + encodeURIComponent(s.id))} title={s.name}>
          <span className="wide">{short(s.name, 28)}</span>
          <span className="narrow">{short(s.name, 14)}</span>
        </Link>
      </td>
      <td title={s.live?.endReason}>
        <Status of={s.state} />
      </td>
      {names && (
        <td className="mid">
          <Link to={href('/runtimes/' + encodeURIComponent(s.runtime))}>{names.get(s.runtime) ?? s.runtime}</Link>
        </td>
      )}
      <td className="right wide">{s.sums ? <Figure of={count(s.sums.traces)} /> : none}</td>
      <td className="right mid num">{s.sums?.errors ? <span className="bad-text">{s.sums.errors}</span> : <span className="dim">0</span>}</td>
      <td className="right mid">{s.sums ? <Figure of={duration(s.sums.p95Ms)} /> : none}</td>
      <td className="right wide">{tokens ? <Figure of={count(tokens)} /> : none}</td>
      <td className="right wide">{s.sums?.costUsd ? <Figure of={money(s.sums.costUsd)} /> : none}</td>
      <td className="right wide">{s.live?.memoryBytes ? <Figure of={bytes(s.live.memoryBytes)} /> : none}</td>
      <td className="dim">
        <Time at={s.last} />
      </td>
    </tr>
  )
}
