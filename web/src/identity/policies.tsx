// Policies: a question of what would become of a call, why a call was refused, and what the policies say.
import { type FormEvent, useEffect, useState } from 'react'
import { call, type Refusal, useData } from '../api'
import { Text } from '../trace/text'
import { Empty, Link, Problem } from '../ui'
import { href, navigate, useQuery } from '../url'
import { type Entry, Whole } from './audit'
import { Code } from './code'
import { Name } from './parts'
import { type Principal, to } from './users'

interface Policies {
  resources: { arn: string; document: unknown }[]
  builtIn: { name: string; arn: string; document: unknown }[]
  release: { source: string; text: string }
}

export default function Policies() {
  const { data: people } = useData<{ principals: Principal[] }>('/v1/principals')
  const { data, error, reload } = useData<Policies>('/v1/policies')
  return (
    <>
      <div className="pair">
        <Simulate principals={people?.principals ?? []} />
        <Explain />
      </div>
      {people && <OfPrincipals of={people.principals} />}
      {error && <Problem error={error} retry={reload} />}
      {data && <Documents of={data} />}
    </>
  )
}

interface Verdict {
  allowed: boolean
  why: string
  statements: { policy: string; statement: string; effect: string }[]
}

/** likely are actions that are asked about most; any other can be typed. */
const likely = ['InvokeAgentRuntime', 'InvokeAgentRuntimeForUser', 'StopRuntimeSession', 'CreateAgentRuntime', 'UpdateAgentRuntime', 'DeleteAgentRuntime', 'GetResourceApiKey', 'GetResourceOauth2Token']
  .map((name) => 'bedrock-agentcore:' + name)
  .concat('moorage:ListSessions', 'moorage:ListAudit', 'iam:CreateAccessKey', 'iam:PassRole', 'sts:AssumeRole')

/** contextOf reads KEY=VALUE, one a line. */
function contextOf(lines: string) {
  const out: Record<string, string[]> = {}
  for (const line of lines.split('\n').map((l) => l.trim()).filter(Boolean)) {
    const [key, ...rest] = line.split('=')
    ;(out[key!.trim()] ??= []).push(rest.join('=').trim())
  }
  return out
}

/** Simulate asks what would become of a call. The address holds the question, so that a link has the answer. */
function Simulate({ principals }: { principals: Principal[] }) {
  const [principal] = useQuery('principal')
  const [action] = useQuery('action')
  const [resource] = useQuery('resource')
  const [context] = useQuery('context')
  const [request] = useQuery('request')
  const [verdict, setVerdict] = useState<Verdict>()
  const [error, setError] = useState<Refusal>()
  useEffect(() => {
    setVerdict(undefined)
    setError(undefined)
    if (!principal || !action) return
    const stop = new AbortController()
    call('POST', '/v1/policy/simulate', { principal, action, resources: resource.split(/\s+/).filter(Boolean), context: contextOf(context) }, { signal: stop.signal })
      .then(async (answer) => setVerdict(await answer.json()))
      .catch((e: Refusal) => stop.signal.aborted || setError(e))
    return () => stop.abort()
  }, [principal, action, resource, context])
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const said = Object.fromEntries(['principal', 'action', 'resource', 'context'].map((n) => [n, String(form.get(n)).trim()]))
    navigate(href('/identity/policies', { request, ...said }))
  }
  return (
    <section className="panel">
      <header>
        <h2>What would become of a call</h2>
      </header>
      <form className="body stack" onSubmit={submit} key={principal + action + resource + context}>
        <div className="fields">
          <label>
            Who
            <input name="principal" defaultValue={principal} list="principals" required placeholder="arn:aws:iam::…:user/alice" className="mono" spellCheck={false} />
          </label>
          <label>
            Does
            <input name="action" defaultValue={action} list="actions" required placeholder="bedrock-agentcore:InvokeAgentRuntime" className="mono" spellCheck={false} />
          </label>
        </div>
        <div className="fields">
          <label>
            On
            <textarea name="resource" defaultValue={resource} rows={2} placeholder="ARNs; each has to be allowed. None is any." spellCheck={false} />
          </label>
          <label>
            Where
            <textarea name="context" defaultValue={context} rows={2} placeholder="aws:SourceIp=203.0.113.7" spellCheck={false} />
          </label>
        </div>
        <datalist id="principals">
          {principals.map((p) => (
            <option key={p.arn} value={p.arn} />
          ))}
        </datalist>
        <datalist id="actions">
          {likely.map((a) => (
            <option key={a} value={a} />
          ))}
        </datalist>
        <div className="bar">
          <button className="primary">Try</button>
          <span className="dim">Nothing is done: it is only decided.</span>
        </div>
        {error && <Problem error={error} />}
        {verdict && <Decided of={verdict} />}
      </form>
    </section>
  )
}

function Decided({ of: v }: { of: Verdict }) {
  return (
    <div className={v.allowed ? 'notice' : 'notice bad'} role="status">
      <p>
        <span className={v.allowed ? 'status good' : 'status bad'}>{v.allowed ? 'allowed' : 'refused'}</span>: <Text of={v.why} />
      </p>
      {v.statements.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Effect</th>
              <th>Statement</th>
              <th>Policy</th>
            </tr>
          </thead>
          <tbody>
            {v.statements.map((s, i) => (
              <tr key={i}>
                <td>{s.effect === 'Deny' ? <span className="status bad">Deny</span> : <span className="status good">Allow</span>}</td>
                <td className="mono">
                  <Text of={s.statement} />
                </td>
                <td className="fill">
                  <Text of={s.policy} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  )
}

/** Explain says why a call was refused, or allowed, by the id that every answer has. */
function Explain() {
  const [request, set] = useQuery('request')
  const { data, error } = useData<{ records: Entry[] }>(request ? '/v1/policy/explain?request=' + encodeURIComponent(request) : null)
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    set(String(new FormData(e.currentTarget).get('request')).trim())
  }
  const last = data?.records.findLast((r) => r.refused) ?? data?.records.findLast((r) => r.kind !== 'authentication')
  return (
    <section className="panel">
      <header>
        <h2>Why a call was refused</h2>
      </header>
      <div className="body stack">
        <form onSubmit={submit} className="bar" key={request}>
          <input name="request" type="search" defaultValue={request} aria-label="Request id" placeholder="Request id" className="mono grow" spellCheck={false} />
          <button className="primary">Explain</button>
        </form>
        {!request && (
          <p className="dim">
            A caller who is refused is not told why. Every answer has its request’s id in <code>x-amzn-RequestId</code>, and AWS’s clients show it with an error.
          </p>
        )}
        {error && <Problem error={error} />}
        {last && <Whole of={last} />}
        {last?.action && last.caller?.startsWith('arn:') && (
          <Link className="link" to={href('/identity/policies', { request, principal: last.caller, action: last.action, resource: last.resources?.join(' ') })}>
            Try it again as the policies are now
          </Link>
        )}
      </div>
    </section>
  )
}

function OfPrincipals({ of: principals }: { of: Principal[] }) {
  const rows = principals.flatMap((p) => p.policies.map((n) => ({ p, n })))
  return (
    <section className="panel">
      <header>
        <h2>Of users and roles</h2>
      </header>
      {rows.length === 0 ? (
        <Empty title="Nobody has a policy" />
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Policies of users and roles">
          <table>
            <thead>
              <tr>
                <th>Policy</th>
                <th className="mid">Kind</th>
                <th>Of</th>
              </tr>
            </thead>
            <tbody>
              {rows.map(({ p, n }) => (
                <tr key={p.arn + n.name}>
                  <td>
                    <Link to={to(p.kind, p.name)}>{n.name}</Link>
                  </td>
                  <td className="mid dim">{n.arn ? 'attached, built in' : 'its own'}</td>
                  <td className="fill">
                    <Name of={p.arn} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}

function Documents({ of: { resources, builtIn, release } }: { of: Policies }) {
  return (
    <>
      <section className="panel">
        <header>
          <h2>Of runtimes and endpoints</h2>
        </header>
        <div className="body stack">
          {resources.length === 0 && <p className="dim">None: policies of users and roles alone decide who may call. PutResourcePolicy sets one.</p>}
          {resources.map((r) => (
            <details key={r.arn} open={resources.length < 3}>
              <summary>
                <Name of={r.arn} copy="Copy the ARN" />
              </summary>
              <Code of={r.document} what={`the policy of ${r.arn}`} />
            </details>
          ))}
        </div>
      </section>
      <section className="panel">
        <header>
          <h2>On the release of credentials to agents</h2>
          <span className="dim">{release.source}</span>
        </header>
        <div className="body">
          <Code of={release.text} what="the policy on the release of credentials" />
          {release.source === 'the default' && (
            <p className="dim">
              Every agent gets every credential of this account that its role permits. Write <code>release.cedar</code> into the server’s directory to say otherwise, and start it anew.
            </p>
          )}
        </div>
      </section>
      <section className="panel">
        <header>
          <h2>Built in, to be attached</h2>
        </header>
        <div className="body stack">
          {builtIn.map((b) => (
            <details key={b.arn}>
              <summary>
                {b.name} <span className="dim mono wide">{b.arn}</span>
              </summary>
              <Code of={b.document} what={`the policy ${b.name}`} />
            </details>
          ))}
        </div>
      </section>
    </>
  )
}
