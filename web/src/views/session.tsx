import { type ReactNode, useCallback, useState } from 'react'
import { call, type Refusal, type Session, useData } from '../api'
import { from, nameOf, useCrumbs } from '../crumbs'
import { bytes, count, duration, money, short } from '../format'
import { type Item, useLive } from '../live'
import { LogPanel } from '../logs'
import { Spark } from '../spark'
import { Conversation } from '../trace/conversation'
import type { SessionSummary, SessionTrace } from '../trace/types'
import { Spent, UsedUp } from '../spending'
import { Copy, Figure, Link, Problem, Status, Time } from '../ui'
import { href, navigate } from '../url'
import { runtimeOf } from './sessions'

export default function SessionView({ id }: { id: string }) {
  const path = '/v1/sessions/' + encodeURIComponent(id)
  const { data: session, error, reload } = useData<Session>(path, 2000)
  const { data: trace, reload: again } = useData<SessionTrace>(path + '/trace', 30_000)
  const mine = useCallback((i: Item) => i.sessionId === id || i.sessionId === session?.id, [id, session?.id])
  useLive(mine, again)
  useCrumbs(session && from(runtimeOf(session), session.endpoint, { id: session.id, name: session.sessionId }))
  if (error?.status === 404 && trace?.traces.length) return <Elsewhere id={id} trace={trace} />
  if (error && !session) return <Problem error={error} retry={reload} />
  if (!session) return null
  return (
    <div className="stack">
      <div className="bar">
        <h1 className="mono cut" title={session.sessionId}>
          {short(session.sessionId, 44)}
        </h1>
        <Copy text={session.sessionId} what="Copy the session id" />
        <Status of={session.state} />
        <span className="grow" />
        <Actions session={session} path={path} done={reload} />
      </div>
      {session.endReason && <EndReason text={session.endReason} />}
      {!session.endedAt && <UsedUp of={session.spending} whose="This session’s budget" tag="session" />}
      <div className="split">
        <div className="stack">
          <section className="panel">
            <header>
              <h2>Conversation</h2>
            </header>
            <Conversation of={trace} />
          </section>
          <LogPanel session={session.id} />
        </div>
        <Facts session={session} sums={trace?.session} path={path} />
      </div>
    </div>
  )
}

/** EndReason is why a session ended; where its agent died, with its last words. */
function EndReason({ text }: { text: string }) {
  const [first, ...words] = text.split('\n')
  return (
    <div className={words.length || /status|crash|killed/.test(first!) ? 'notice bad' : 'notice'}>
      This session ended: {first}
      {words.length > 0 && <pre>{words.join('\n')}</pre>}
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
  const action = (verb: string, name: string, title: string, ask = '') => (
    <button disabled={busy !== ''} title={title} onClick={() => (!ask || confirm(ask)) && run(verb)}>
      {busy === verb ? name + '…' : name}
    </button>
  )
  return (
    <>
      {error && (
        <span className="status bad" role="alert">
          {error.message}
        </span>
      )}
      {!session.endedAt && (
        <>
          {session.state === 'asleep' ? action('wake', 'Wake', 'Bring its memory back from disk') : action('sleep', 'Sleep', 'Put its memory on disk until the next call')}
          {action('fork', 'Fork', 'A further session that remembers what this one does')}
          {action('stop', 'Stop', 'End the session', 'Stop this session? Its memory and files are lost.')}
        </>
      )}
      <a className="button" href={path + '/trace'} download={`session-${session.id}.json`} title="All its traces, messages and log lines as one JSON file">
        Export
      </a>
    </>
  )
}

function Fact({ name, children, mono = false }: { name: string; children: ReactNode; mono?: boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd className={mono ? 'mono' : undefined}>{children}</dd>
    </>
  )
}

interface Usage {
  samples: { time: string; cpu: number; memoryBytes: number }[]
}

function Facts({ session: s, sums, path }: { session: Session; sums?: SessionSummary; path: string }) {
  const { data: usage } = useData<Usage>(path + '/usage', s.endedAt ? 0 : 2000)
  const samples = usage?.samples.slice(-48) ?? []
  const tokens = sums ? sums.inputTokens + sums.outputTokens : 0
  return (
    <section className="panel">
      <header>
        <h2>Facts</h2>
      </header>
      <dl className="facts body">
        <Fact name="Runtime">
          <Link to={href('/runtimes/' + runtimeOf(s))} className="link">
            {nameOf(runtimeOf(s))}
          </Link>{' '}
          <span className="dim">
            {s.endpoint}, version {s.version}
          </span>
        </Fact>
        <Fact name="Owner" mono>
          {s.owner}
        </Fact>
        <Fact name="Started">
          <Time at={s.createdAt} />
          {s.startedBy && (
            <>
              {' '}
              by {s.startedBy} in <Figure of={duration(s.startMs)} />
            </>
          )}
        </Fact>
        <Fact name="Active">
          <Time at={s.lastActiveAt} />
        </Fact>
        {!!s.sleeps && (
          <Fact name="Slept">
            {s.sleeps} ×{s.wokeMs ? <>, woke in <Figure of={duration(s.wokeMs)} /></> : null}
          </Fact>
        )}
        {s.endedAt && (
          <Fact name="Ended">
            <Time at={s.endedAt} />
          </Fact>
        )}
        {sums && sums.traces > 0 && (
          <>
            <Fact name="Turns">
              <Figure of={count(sums.traces)} />
              {sums.errors > 0 && <span className="bad-text"> {sums.errors} failed</span>}
              <span className="dim">, p95 </span>
              <Figure of={duration(sums.p95Ms)} />
            </Fact>
            <Fact name="Calls">
              {sums.modelCalls} <span className="dim">to models,</span> {sums.toolCalls} <span className="dim">to tools</span>
            </Fact>
          </>
        )}
        {tokens > 0 && (
          <Fact name="Tokens">
            <Figure of={count(sums!.inputTokens)} /> <span className="dim">in</span> <Figure of={count(sums!.outputTokens)} /> <span className="dim">out</span>{' '}
            {sums!.costUsd > 0 && <Figure of={money(sums!.costUsd)} />}
          </Fact>
        )}
        <Fact name="Budget">{s.spending.atTheLimit ? <Spent of={s.spending} /> : <span className="dim">none of its own</span>}</Fact>
        <Fact name="CPU">
          <span className="sparkline">
            <Figure of={duration(s.cpuMs)} />
            {samples.length > 1 && <Spark values={samples.map((p) => p.cpu)} color="--agent" label="CPU while it worked" />}
          </span>
        </Fact>
        {!s.endedAt && s.state !== 'asleep' && (
          <Fact name="Memory">
            <span className="sparkline">
              <Figure of={bytes(s.memoryBytes)} />
              {samples.length > 1 && <Spark values={samples.map((p) => p.memoryBytes)} color="--retrieval" label="Memory while it worked" />}
            </span>
          </Fact>
        )}
        {!!s.sleepBytes && (
          <Fact name="On disk">
            <Figure of={bytes(s.sleepBytes)} />
          </Fact>
        )}
        {s.parentId && (
          <Fact name="Forked from" mono>
            <Link to={href('/sessions/' + s.parentId)} className="link">
              {s.parentId}
            </Link>
          </Fact>
        )}
        <Fact name="Own id" mono>
          {s.id}
          <Copy text={s.id} what="Copy the id that this server gave it" />
        </Fact>
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
