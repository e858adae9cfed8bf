import { lazy, Suspense } from 'react'
import { type Runtime, useData } from '../api'
import { Limits, Spent, UsedUp } from '../spending'
import { Copy, Empty, Link, Problem, Status, Time } from '../ui'
import { href, useQuery } from '../url'
import { SessionTable, useSessions } from './sessions'
import { Failures, SlowestSteps } from './steps'

const Charts = lazy(() => import('./charts'))
const Endpoints = lazy(() => import('./endpoints'))

export default function RuntimeView({ id }: { id: string }) {
  const { data: runtime, error, reload } = useData<Runtime>('/v1/runtimes/' + encodeURIComponent(id), 3000)
  const sessions = useSessions({ runtime: id, ended: true })
  const [endpoint, choose] = useQuery('endpoint')
  const rows = endpoint ? sessions.rows?.filter((s) => (s.live?.endpoint ?? s.sums?.endpoint) === endpoint) : sessions.rows
  if (error && !runtime) return <Problem error={error} retry={reload} />
  if (!runtime) return null
  return (
    <div className="stack">
      <div className="bar">
        <h1 className="cut">{runtime.name}</h1>
        <Status of={runtime.status} />
        <span className="grow" />
        <Link to={href('/sessions', { runtime: id })} className="link">
          Sessions
        </Link>
        <Link to={href('/traces', { runtime: id })} className="link">
          Traces
        </Link>
        <Link to={href('/logs', { runtime: id })} className="link">
          Logs
        </Link>
        <Link to={href('/play', { runtime: id })} className="link">
          Playground
        </Link>
      </div>
      {runtime.failureReason && (
        <div className="notice bad" role="alert">
          {runtime.lastWords ? runtime.failureReason.split(' Its last words:')[0] : runtime.failureReason}
          {runtime.lastWords && <pre>{runtime.lastWords.join('\n')}</pre>}
        </div>
      )}
      <UsedUp of={runtime.spendingToday} whose="This runtime’s budget for today (UTC)" tag="daily" />
      <Suspense fallback={<div className="charts-wait" />}>
        <Endpoints of={runtime} live={sessions.rows} chosen={endpoint} choose={choose} />
        <Charts runtime={id} endpoint={endpoint} />
      </Suspense>
      <div className="pair">
        <SlowestSteps runtime={id} endpoint={endpoint} />
        <Failures runtime={id} endpoint={endpoint} />
      </div>
      <section className="panel">
        <header>
          <h2>Recent sessions</h2>
          {endpoint && <span className="dim">of {endpoint}</span>}
        </header>
        {rows?.length === 0 ? <Empty title="No session yet">The first call opens one.</Empty> : <SessionTable sessions={rows?.slice(0, 10)} />}
      </section>
      <Facts of={runtime} />
    </div>
  )
}

function Facts({ of: r }: { of: Runtime }) {
  return (
    <section className="panel">
      <header>
        <h2>Facts</h2>
      </header>
      <dl className="facts body">
        <dt>ARN</dt>
        <dd className="mono">
          {r.arn}
          <Copy text={r.arn} what="Copy the ARN" />
        </dd>
        <dt>Version</dt>
        <dd className="num">{r.version}</dd>
        <dt>Endpoints</dt>
        <dd>{r.endpoints.join(', ')}</dd>
        <dt>Protocol</dt>
        <dd>{r.protocol}</dd>
        <dt>Models today</dt>
        <dd>
          <Spent of={r.spendingToday} />
          {!r.spendingToday.atTheLimit && <NoBudget tag="daily" />}
        </dd>
        <dt>Each session</dt>
        <dd>{r.sessionBudget ? <Limits of={r.sessionBudget} /> : <NoBudget tag="session" />}</dd>
        <dt>Source</dt>
        <dd className="mono">{r.source}</dd>
        <dt>Updated</dt>
        <dd>
          <Time at={r.updatedAt} />
        </dd>
      </dl>
    </section>
  )
}

function NoBudget({ tag }: { tag: string }) {
  return (
    <span className="dim">
      no budget; the tags <code>moorage:{tag}-tokens</code> and <code>moorage:{tag}-dollars</code> set one
    </span>
  )
}
