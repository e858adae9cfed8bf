// What was changed and handed out, who was refused, and why: from the audit log.
import { useMemo } from 'react'
import { useData } from '../api'
import { clock } from '../format'
import { useRange } from '../ranges'
import { Text } from '../trace/text'
import { Copy, Empty, Problem, Skeleton } from '../ui'
import { useQuery } from '../url'

interface Entry {
  seq: number
  time: string
  kind: string
  refused?: boolean
  reason?: string
  requestId?: string
  caller?: string
  source?: string
  from?: string
  action?: string
  resources?: string[]
}

const minute = 60_000

export default function Identity() {
  const [range] = useRange()
  const [refused, setRefused] = useQuery('refused')
  const [text, setText] = useQuery('q')
  const since = useMemo(() => new Date(range.fixed ? range.fixed.from * 1000 : Math.floor((Date.now() - range.length) / minute) * minute).toISOString().replace(/\.\d+/, ''), [range])
  const { data, error, reload } = useRecords(since, refused !== '')
  const shown = data?.filter((r) => !text || JSON.stringify(r).toLowerCase().includes(text.toLowerCase()))
  return (
    <div className="stack">
      <div className="bar">
        <input type="search" placeholder="Filter by caller, action or resource" aria-label="Filter" value={text} onChange={(e) => setText(e.target.value)} size={36} />
        <label className="bar">
          <input type="checkbox" checked={refused !== ''} onChange={(e) => setRefused(e.target.checked ? '1' : '')} /> only refusals
        </label>
      </div>
      {error && <Problem error={error} retry={reload} />}
      <div className="panel" hidden={!!error && !data}>
        {shown?.length === 0 ? (
          <Empty title={refused ? 'Nobody was refused in this time' : 'Nothing in this time'}>What is changed, which tokens and secrets are handed out, and who is refused shows here; <code>moorage audit</code> lists every request.</Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Audit records">
            <table>
              <thead>
                <tr>
                  <th>Time</th>
                  <th>Action</th>
                  <th className="mid">Caller</th>
                  <th className="wide">By</th>
                  <th>Outcome</th>
                  <th className="wide">Resource</th>
                  <th className="wide">Request</th>
                </tr>
              </thead>
              {shown ? (
                <tbody>
                  {shown.map((r) => (
                    <Line key={r.seq} of={r} />
                  ))}
                </tbody>
              ) : (
                <Skeleton rows={8} columns={7} />
              )}
            </table>
          </div>
        )}
      </div>
    </div>
  )
}

/** useRecords lists what was changed and handed out, and who was refused, the newest first. Requests that merely succeeded would bury that. */
function useRecords(since: string, refused: boolean) {
  const path = (what: string) => `/v1/audit?limit=200&since=${since}&${what}`
  const asked = [
    useData<{ records: Entry[] }>(path('refused=true'), 10_000),
    useData<{ records: Entry[] }>(refused ? null : path('kind=change'), 10_000),
    useData<{ records: Entry[] }>(refused ? null : path('kind=release'), 10_000),
    useData<{ records: Entry[] }>(refused ? null : path('kind=token'), 10_000),
  ].slice(0, refused ? 1 : 4)
  const all = new Map(asked.flatMap((a) => (a.data?.records ?? []).map((r): [number, Entry] => [r.seq, r])))
  return {
    data: asked.every((a) => a.data) ? [...all.values()].sort((a, b) => b.seq - a.seq) : undefined,
    error: asked.find((a) => a.error)?.error,
    reload: () => asked.forEach((a) => a.reload()),
  }
}

function Line({ of: r }: { of: Entry }) {
  const last = (arn: string) => arn.slice(Math.max(arn.lastIndexOf('/'), arn.lastIndexOf(':')) + 1)
  return (
    <tr>
      <td className="num dim" title={r.time}>
        {clock(r.time).slice(0, 8)}
      </td>
      <td title={r.action}>
        {(r.action ?? r.kind).split(':').at(-1)} <span className="dim wide">{r.kind}</span>
      </td>
      <td className="mono mid" title={r.caller}>
        <Text of={last(r.caller ?? '') || '–'} />
      </td>
      <td className="wide dim" title={r.from}>
        {r.source}
      </td>
      <td title={r.reason}>{r.refused ? <span className="status bad">{r.reason || 'refused'}</span> : <span className="dim">allowed</span>}</td>
      <td className="mono wide" title={r.resources?.join('\n')}>
        <Text of={last(r.resources?.[0] ?? '')} />
      </td>
      <td className="mono wide">
        {r.requestId && (
          <>
            <span className="dim">{r.requestId.slice(0, 8)}…</span>
            <Copy text={r.requestId} what="Copy the request id" />
          </>
        )}
      </td>
    </tr>
  )
}
