// The audit record: who did what, who was refused and why, the newest first.
import { useMemo } from 'react'
import { useData } from '../api'
import { clock } from '../format'
import { useRange } from '../ranges'
import { Text } from '../trace/text'
import { Copy, Empty, Link, Problem, Skeleton } from '../ui'
import { href, useQuery, useURL } from '../url'
import { Chain } from './chain'
import { Fact, Name, Search } from './parts'

export interface Entry {
  seq: number
  time: string
  kind: string
  refused?: boolean
  reason?: string
  requestId?: string
  caller?: string
  source?: string
  key?: string
  from?: string
  action?: string
  resources?: string[]
  detail?: Record<string, string>
  prev: string
  hash: string
}

const page = 100
const minute = 60_000

/** filters are what the address says of which records are shown; with another filter the list begins anew. */
const filters = ['kind', 'outcome', 'caller', 'action', 'q'] as const

function useFilters() {
  const url = useURL()
  const value = Object.fromEntries(filters.map((f) => [f, url.searchParams.get(f) ?? ''])) as Record<(typeof filters)[number], string>
  const [, set] = useQuery('before')
  const [, open] = useQuery('record')
  const change = (name: (typeof filters)[number], to: string) => {
    const next = new URL(location.href)
    to ? next.searchParams.set(name, to) : next.searchParams.delete(name)
    history.replaceState(null, '', next)
    set('')
    open('')
  }
  return { value, change, any: filters.some((f) => value[f]) }
}

/** part makes of words a pattern that has them anywhere. */
const part = (words: string) => words && !words.includes('*') ? `*${words}*` : words

export default function Audit() {
  const [range] = useRange()
  const { value, change, any } = useFilters()
  const [before] = useQuery('before')
  const [record, open] = useQuery('record')
  const path = useMemo(() => {
    const begin = range.fixed ? range.fixed.from * 1000 : Math.floor((Date.now() - range.length) / minute) * minute
    const asked = new URLSearchParams({ limit: String(page), since: new Date(begin).toISOString() })
    if (range.fixed) asked.set('until', new Date(range.fixed.to * 1000).toISOString())
    const said = {
      kind: value.kind === 'all' ? '' : value.kind, notable: value.kind ? '' : 'true', refused: value.outcome === 'refused' ? 'true' : '', allowed: value.outcome === 'allowed' ? 'true' : '',
      caller: part(value.caller), action: part(value.action), text: value.q, before,
    }
    for (const [k, v] of Object.entries(said)) if (v) asked.set(k, v)
    return '/v1/audit?' + asked
  }, [range, before, ...filters.map((f) => value[f])])
  const { data, error, reload } = useData<{ records: Entry[]; more: boolean }>(path, before ? 0 : 3000)
  const shown = useMemo(() => data?.records.toReversed(), [data])
  const number = Number(record)
  return (
    <>
      <div className="bar">
        <select aria-label="Kind" value={value.kind} onChange={(e) => change('kind', e.target.value)}>
          <option value="">all but plain calls</option>
          <option value="all">everything</option>
          <option value="change">changes</option>
          <option value="token">tokens and logins</option>
          <option value="release">released credentials</option>
          <option value="decision">decisions</option>
          <option value="authentication">authentications</option>
        </select>
        <select aria-label="Outcome" value={value.outcome} onChange={(e) => change('outcome', e.target.value)}>
          <option value="">allowed or refused</option>
          <option value="refused">refused</option>
          <option value="allowed">allowed</option>
        </select>
        <Search what="Caller" size={14} value={value.caller} set={(v) => change('caller', v)} />
        <Search what="Action" size={14} value={value.action} set={(v) => change('action', v)} />
        <Search what="Request id, or any text" size={20} value={value.q} set={(v) => change('q', v)} />
        <span className="grow" />
        <Chain newest={data?.records.at(-1)?.seq} />
      </div>
      {error && <Problem error={error} retry={reload} />}
      {number > 0 && data && !shown!.some((r) => r.seq === number) && <Elsewhere seq={number} close={() => open('')} />}
      <div className="panel" hidden={!!error && !data}>
        {shown?.length === 0 ? (
          <Empty title={any || before ? 'No record matches' : 'Nothing in this time'}>
            {any ? 'Take back a filter, or choose a longer time above.' : 'What is changed, which tokens and credentials are handed out, and who is refused shows here. Choose “everything” for each call.'}
          </Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Audit records">
            <table className="records">
              <thead>
                <tr>
                  <th>Time</th>
                  <th>Action</th>
                  <th className="mid">Caller</th>
                  <th>Outcome</th>
                  <th className="wide">Resource</th>
                  <th className="wide">Request</th>
                </tr>
              </thead>
              {shown ? (
                <tbody>
                  {shown.map((r) => (
                    <Line key={r.seq} of={r} opened={r.seq === number} toggle={() => open(r.seq === number ? '' : String(r.seq))} />
                  ))}
                </tbody>
              ) : (
                <Skeleton rows={8} columns={6} />
              )}
            </table>
          </div>
        )}
      </div>
      {shown && (before || data!.more) && (
        <nav className="bar" aria-label="Pages">
          {before && (
            <Link to={href('/identity/audit', { ...value, before: '' })} className="button">
              Newest
            </Link>
          )}
          {data!.more && (
            <Link to={href('/identity/audit', { ...value, before: String(data!.records[0]!.seq) })} className="button">
              Older
            </Link>
          )}
          <span className="dim">
            records {shown.at(-1)?.seq} to {shown[0]?.seq}
          </span>
        </nav>
      )}
    </>
  )
}

function Outcome({ of: r }: { of: Entry }) {
  return r.refused ? <span className="status bad">{r.reason ? <Text of={r.reason} /> : 'refused'}</span> : <span className="dim">allowed</span>
}

function Line({ of: r, opened, toggle }: { of: Entry; opened: boolean; toggle: () => void }) {
  return (
    <>
      <tr className={opened ? 'opened' : undefined} onClick={toggle}>
        <td className="num dim" title={r.time}>
          <button className="caret" aria-expanded={opened} aria-label={`Record ${r.seq}`} onClick={(e) => (e.stopPropagation(), toggle())}>
            {opened ? '▾' : '▸'}
          </button>
          {day(r.time)}
          {clock(r.time).slice(0, 8)}
        </td>
        <td title={r.action}>
          <Text of={(r.action ?? r.kind).split(':').at(-1)!} /> <span className="dim wide">{r.kind}</span>
        </td>
        <td className="mid">{r.caller ? <Name of={r.caller} /> : <span className="dim">nobody known</span>}</td>
        <td title={r.reason}>
          <Outcome of={r} />
        </td>
        <td className="wide">{r.resources?.[0] && <Name of={r.resources[0]} />}</td>
        <td className="mono wide">{r.requestId && <span className="dim">{r.requestId.slice(0, 8)}…</span>}</td>
      </tr>
      {opened && (
        <tr className="detail">
          <td colSpan={6}>
            <Whole of={r} />
          </td>
        </tr>
      )}
    </>
  )
}

/** day is the date of what was not today. */
function day(at: string) {
  const d = new Date(at)
  return d.toDateString() === new Date().toDateString() ? '' : `${d.getMonth() + 1}-${d.getDate()} `
}

/** Whole is all that a record says. */
export function Whole({ of: r }: { of: Entry }) {
  return (
    <dl className="facts">
      <Fact name="Record">
        <span className="num">{r.seq}</span> <span className="dim">{r.kind}</span>
        <Copy text={JSON.stringify(r, null, 2)} what="Copy the record as JSON" />
      </Fact>
      <Fact name="Time" mono>
        {r.time}
      </Fact>
      <Fact name="Outcome">
        {r.refused ? <span className="status bad">refused</span> : 'allowed'}
        {r.reason && (
          <>
            {': '}
            <Text of={r.reason} />
          </>
        )}
      </Fact>
      {r.action && (
        <Fact name="Action" mono>
          <Text of={r.action} />
        </Fact>
      )}
      {r.resources?.map((on, i) => (
        <Fact key={on + i} name={i ? '' : 'On'} mono>
          <Text of={on} />
          <Copy text={on} what="Copy the ARN" />
        </Fact>
      ))}
      {r.caller && (
        <Fact name="Caller" mono>
          <Text of={r.caller} />
          <Copy text={r.caller} what="Copy the caller" />
        </Fact>
      )}
      {(r.source || r.key) && (
        <Fact name="By" mono>
          {[r.source, r.key].filter(Boolean).join(' ')}
        </Fact>
      )}
      {r.from && (
        <Fact name="From" mono>
          {r.from}
        </Fact>
      )}
      {Object.entries(r.detail ?? {}).map(([name, value]) => (
        <Fact key={name} name={name} mono>
          <Text of={value} />
        </Fact>
      ))}
      {r.requestId && (
        <Fact name="Request" mono>
          {r.requestId}
          <Copy text={r.requestId} what="Copy the request id" />
          <Link to={href('/identity/audit', { kind: 'all', q: r.requestId })} className="link beside">
            all of this request
          </Link>
        </Fact>
      )}
      <Fact name="Hash" mono>
        <span className="dim">{r.hash}</span>
      </Fact>
      <Fact name="Follows" mono>
        <span className="dim">{r.prev || 'nothing: it is the first'}</span>
      </Fact>
    </dl>
  )
}

/** Elsewhere is the record that a link names, where the list does not have it. */
function Elsewhere({ seq, close }: { seq: number; close: () => void }) {
  const { data, error } = useData<{ records: Entry[] }>(`/v1/audit?limit=1&before=${seq + 1}`)
  const found = data?.records.find((r) => r.seq === seq)
  if (error) return <Problem error={error} />
  if (!data) return null
  return (
    <section className="panel">
      <header>
        <h2 className="grow">Record {seq}</h2>
        <button onClick={close}>Close</button>
      </header>
      <div className="body">{found ? <Whole of={found} /> : 'There is no such record, or not any more.'}</div>
    </section>
  )
}
