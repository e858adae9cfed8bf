import { lazy, Suspense } from 'react'
import { type Runtime, type Session, useData } from '../api'
import { Copy, Empty, Link, Problem, Status, Time } from '../ui'
import { href } from '../url'
import { SessionTable } from './sessions'

const Charts = lazy(() => import('./charts'))

export function RuntimeView({ id }: { id: string }) {
  const { data: runtime, error, reload } = useData<Runtime>('/v1/runtimes/' + encodeURIComponent(id), 3000)
  const { data } = useData<{ sessions: Session[] }>(`/v1/sessions?all=true&runtime=${encodeURIComponent(id)}`, 3000)
  if (error && !runtime) return <Problem error={error} retry={reload} />
  if (!runtime) return null
  return (
    <div className="stack">
      <div className="bar">
        <h1>{runtime.name}</h1>
        <Status of={runtime.status} />
        <span className="grow" />
        <Link to={href('/logs', { runtime: id })} className="link">
          Logs
        </Link>
        <Link to={href('/play', { runtime: id })} className="link">
          Playground
        </Link>
      </div>
      {runtime.failureReason && (
        <div className="notice bad" role="alert">
          {runtime.failureReason}
          {runtime.lastWords && <pre>{runtime.lastWords.join('\n')}</pre>}
        </div>
      )}
      <Suspense fallback={null}>
        <Charts runtime={id} />
      </Suspense>
      <div className="split">
        <section className="panel">
          <header>
            <h2>Sessions</h2>
          </header>
          {data?.sessions.length === 0 ? <Empty title="No session yet">The first call opens one.</Empty> : <SessionTable sessions={data?.sessions} />}
        </section>
        <section className="panel">
          <header>
            <h2>Facts</h2>
          </header>
          <dl className="facts body">
            <dt>ARN</dt>
            <dd className="mono">
              {runtime.arn}
              <Copy text={runtime.arn} what="Copy the ARN" />
            </dd>
            <dt>Version</dt>
            <dd className="num">{runtime.version}</dd>
            <dt>Endpoints</dt>
            <dd>{runtime.endpoints.join(', ')}</dd>
            <dt>Protocol</dt>
            <dd>{runtime.protocol}</dd>
            <dt>Source</dt>
            <dd className="mono">{runtime.source}</dd>
            <dt>Created</dt>
            <dd>
              <Time at={runtime.createdAt} />
            </dd>
          </dl>
        </section>
      </div>
    </div>
  )
}
