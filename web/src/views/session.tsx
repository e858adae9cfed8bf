import { useCallback, useState } from 'react'
import { call, type Refusal, type Session, useData } from '../api'
import { bytes, duration, short } from '../format'
import { type Item, useLive } from '../live'
import { LogPanel } from '../logs'
import { Conversation } from '../trace/conversation'
import type { SessionTrace } from '../trace/types'
import { Copy, Figure, Link, Problem, Status, Time } from '../ui'
import { href, navigate } from '../url'
import { runtimeOf } from './sessions'

export function SessionView({ id }: { id: string }) {
  const path = '/v1/sessions/' + encodeURIComponent(id)
  const { data: session, error, reload } = useData<Session>(path, 2000)
  const { data: trace, reload: again } = useData<SessionTrace>(path + '/trace', 30_000)
  const mine = useCallback((i: Item) => i.sessionId === id || i.sessionId === session?.id, [id, session?.id])
  useLive(mine, again)
  if (error?.status === 404 && trace?.traces.length) return <Elsewhere id={id} trace={trace} />
  if (error && !session) return <Problem error={error} retry={reload} />
  if (!session) return null
  return (
    <div className="stack">
      <div className="bar">
        <h1 className="mono cut" title={session.sessionId}>
          {short(session.sessionId, 40)}
        </h1>
        <Copy text={session.sessionId} what="Copy the session id" />
        <Status of={session.state} />
        <span className="grow" />
        <Actions session={session} path={path} done={reload} />
      </div>
      {session.endReason && <div className="notice">This session {session.endReason}.</div>}
      <div className="split">
        <div className="stack">
          <section className="panel">
            <header>
              <h2>Conversation</h2>
            </header>
            <Conversation of={trace} />
          </section>
          <LogPanel path={path + '/logs'} />
        </div>
        <Facts session={session} />
      </div>
    </div>
  )
}

function Actions({ session, path, done }: { session: Session; path: string; done: () => void }) {
  const [error, setError] = useState<Refusal>()
  const [busy, setBusy] = useState('')
  const run = async (verb: string) => {
    setBusy(verb)
    setError(undefined)
    const answer = await call('POST', `${path}/${verb}`).catch(setError)
    if (verb === 'fork' && answer) navigate(href('/sessions/' + ((await answer.json()) as { branches: Session[] }).branches[0]!.id))
    setBusy('')
    done()
  }
  if (session.endedAt) return null
  return (
    <>
      {error && <span className="status bad">{error.message}</span>}
      {session.state === 'asleep' ? (
        <button disabled={busy !== ''} onClick={() => run('wake')}>
          Wake
        </button>
      ) : (
        <button disabled={busy !== ''} onClick={() => run('sleep')}>
          Sleep
        </button>
      )}
      <button disabled={busy !== ''} onClick={() => run('fork')} title="A further session that remembers what this one does">
        Fork
      </button>
      <button disabled={busy !== ''} onClick={() => confirm('Stop this session? Its memory and files are lost.') && run('stop')}>
        Stop
      </button>
    </>
  )
}

function Facts({ session: s }: { session: Session }) {
  return (
    <section className="panel">
      <header>
        <h2>Facts</h2>
      </header>
      <dl className="facts body">
        <dt>Runtime</dt>
        <dd>
          <Link to={href('/runtimes/' + runtimeOf(s))} className="link">
            {runtimeOf(s)}
          </Link>
        </dd>
        <dt>Endpoint</dt>
        <dd>
          {s.endpoint} <span className="dim">version {s.version}</span>
        </dd>
        <dt>Owner</dt>
        <dd className="mono">{s.owner}</dd>
        <dt>Internal id</dt>
        <dd className="mono">
          {s.id}
          <Copy text={s.id} what="Copy the internal id" />
        </dd>
        <dt>Started</dt>
        <dd>
          <Time at={s.createdAt} />
          {s.startedBy && (
            <>
              , {s.startedBy} in <Figure of={duration(s.startMs)} />
            </>
          )}
        </dd>
        <dt>Active</dt>
        <dd>
          <Time at={s.lastActiveAt} />
        </dd>
        {!s.endedAt && (
          <>
            <dt>Memory</dt>
            <dd>
              <Figure of={bytes(s.memoryBytes)} />
            </dd>
            <dt>CPU</dt>
            <dd>
              <Figure of={duration(s.cpuMs)} />
            </dd>
          </>
        )}
        {s.parentId && (
          <>
            <dt>Forked from</dt>
            <dd className="mono">
              <Link to={href('/sessions/' + s.parentId)} className="link">
                {s.parentId}
              </Link>
            </dd>
          </>
        )}
        {!!s.sleeps && (
          <>
            <dt>Slept</dt>
            <dd>
              {s.sleeps} ×{s.wokeMs ? <>, woke in <Figure of={duration(s.wokeMs)} /></> : null}
            </dd>
          </>
        )}
        {!!s.sleepBytes && (
          <>
            <dt>On disk</dt>
            <dd>
              <Figure of={bytes(s.sleepBytes)} />
            </dd>
          </>
        )}
        {s.endedAt && (
          <>
            <dt>Ended</dt>
            <dd>
              <Time at={s.endedAt} />
            </dd>
          </>
        )}
      </dl>
    </section>
  )
}

/** Elsewhere shows a session that does not run here: its telemetry came from outside. */
function Elsewhere({ id, trace }: { id: string; trace: SessionTrace }) {
  return (
    <div className="stack">
      <h1 className="mono cut">{id}</h1>
      <div className="notice">This session runs elsewhere and reports here: its traces are all that is known of it.</div>
      <section className="panel">
        <header>
          <h2>Conversation</h2>
        </header>
        <Conversation of={trace} />
      </section>
    </div>
  )
}
