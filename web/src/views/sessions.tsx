import { type Session, useData } from '../api'
import { bytes, duration, short } from '../format'
import { Command, Empty, Figure, Link, Problem, Skeleton, Status, Time } from '../ui'
import { href, useQuery } from '../url'

export function Sessions() {
  const [all, setAll] = useQuery('all')
  const [text, setText] = useQuery('q')
  const { data, error, reload } = useData<{ sessions: Session[] }>('/v1/sessions' + (all ? '?all=true' : ''), 2000)
  const shown = data?.sessions.filter((s) => !text || [s.id, s.sessionId, s.runtimeArn, s.owner, s.state].some((f) => f.includes(text)))
  return (
    <div className="stack">
      <div className="bar">
        <input type="search" placeholder="Filter by id, runtime, owner or state" aria-label="Filter" value={text} onChange={(e) => setText(e.target.value)} size={36} />
        <label className="bar">
          <input type="checkbox" checked={all !== ''} onChange={(e) => setAll(e.target.checked ? '1' : '')} /> those that ended too
        </label>
      </div>
      {error && <Problem error={error} retry={reload} />}
      <div className="panel">
        {shown?.length === 0 ? (
          <Empty title={text ? 'No session matches' : 'No session is alive'}>
            {!text && <Command text={'moorage invoke --name NAME "What can you do?"'} />}
          </Empty>
        ) : (
          <SessionTable sessions={shown} runtime />
        )}
      </div>
    </div>
  )
}

export const runtimeOf = (s: Session) => s.runtimeArn.slice(s.runtimeArn.lastIndexOf('/') + 1)

export function SessionTable({ sessions, runtime = false }: { sessions?: Session[]; runtime?: boolean }) {
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th>Session</th>
            <th>State</th>
            {runtime && <th className="wide">Runtime</th>}
            <th className="wide">Started by</th>
            <th className="right wide">Start</th>
            <th className="right wide">Memory</th>
            <th className="right wide">CPU</th>
            <th>Active</th>
          </tr>
        </thead>
        {sessions ? (
          <tbody>
            {sessions.map((s) => (
              <tr key={s.id}>
                <td className="mono">
                  <Link to={href('/sessions/' + s.id)} title={s.sessionId}>
                    {short(s.sessionId, 24)}
                  </Link>
                </td>
                <td title={s.endReason}>
                  <Status of={s.state} />
                </td>
                {runtime && (
                  <td className="wide">
                    <Link to={href('/runtimes/' + runtimeOf(s))}>{runtimeOf(s)}</Link>
                  </td>
                )}
                <td className="wide">{s.startedBy}</td>
                <td className="right wide">
                  <Figure of={duration(s.startMs)} />
                </td>
                <td className="right wide">{s.endedAt ? '' : <Figure of={bytes(s.memoryBytes)} />}</td>
                <td className="right wide">{s.endedAt ? '' : <Figure of={duration(s.cpuMs)} />}</td>
                <td className="dim">
                  <Time at={s.lastActiveAt} />
                </td>
              </tr>
            ))}
          </tbody>
        ) : (
          <Skeleton rows={6} columns={runtime ? 8 : 7} />
        )}
      </table>
    </div>
  )
}
