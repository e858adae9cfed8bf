// What agents have credentials for, and who agents are. No secret comes to this page: the vault hands none to it.
import { useData } from '../api'
import { Text } from '../trace/text'
import { Command, Copy, Empty, Link, Problem, Skeleton, Time } from '../ui'
import { href, useQuery } from '../url'
import { Fact } from './parts'

interface Rule {
  methods?: string[]
  host: string
  port: number
  path?: string
}

interface Provider {
  kind: 'apikey' | 'oauth2'
  name: string
  arn: string
  createdAt: string
  updatedAt: string
  rules: Rule[]
  injectScopes?: string[]
  vendor?: string
  clientId?: string
  server?: string
  callbackUrl?: string
  onBehalfOf?: string
}

interface Vault {
  key: string
  own: boolean
  changedAt?: string
  secrets: number
  left: number
  problem?: string
}

interface Workload {
  name: string
  arn: string
  runtime?: string
  returnUrls: string[]
  createdAt: string
}

export default function Providers() {
  const { data, error, reload } = useData<{ providers: Provider[]; vault: Vault }>('/v1/providers', 30_000)
  const [opened, open] = useQuery('provider')
  return (
    <>
      {error && <Problem error={error} retry={reload} />}
      <section className="panel" hidden={!!error && !data}>
        <header>
          <h2 className="grow">Credential providers</h2>
        </header>
        {data && data.vault.secrets > 0 && <Sealed of={data.vault} />}
        {data?.providers.length === 0 ? (
          <Empty title="Agents have no credentials for other services">
            <p>One is kept sealed, and agents get it without holding it. The secret is read from standard input:</p>
            <Command text="moorage credentials create weather < weather.key" />
          </Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Credential providers">
            <table className="records">
              <thead>
                <tr>
                  <th>Name</th>
                  <th className="mid">Kind</th>
                  <th>Put into calls to</th>
                  <th className="wide">Changed</th>
                </tr>
              </thead>
              {data ? (
                <tbody>
                  {data.providers.map((p) => (
                    <Line key={p.arn} of={p} opened={opened === p.kind + ':' + p.name} toggle={() => open(opened === p.kind + ':' + p.name ? '' : p.kind + ':' + p.name)} />
                  ))}
                </tbody>
              ) : (
                <Skeleton rows={3} columns={4} />
              )}
            </table>
          </div>
        )}
      </section>
      <Workloads />
    </>
  )
}

/** Sealed says under which key the secrets are. */
function Sealed({ of: v }: { of: Vault }) {
  return (
    <div className="body sealed">
      <span className="dim">{v.own ? 'Their secrets are sealed under the server’s own key,' : 'Their secrets are sealed under'}</span> <span className="mono"><Text of={v.key} /></span>
      {v.changedAt && (
        <span className="dim">
          {' '}
          since <Time at={v.changedAt} />
        </span>
      )}
      {v.left > 0 && (
        <div className="status bad" role="alert">
          {v.left} of {v.secrets} are under another key still{v.problem ? ': ' : ''}
          <Text of={v.problem ?? ''} />
        </div>
      )}
    </div>
  )
}

const said = (r: Rule) => `${r.methods?.length ? r.methods.join(' ') + ' ' : ''}${r.host}${r.port === 443 ? '' : ':' + r.port}${r.path ?? ''}`

function Line({ of: p, opened, toggle }: { of: Provider; opened: boolean; toggle: () => void }) {
  return (
    <>
      <tr className={opened ? 'opened' : undefined} onClick={toggle}>
        <td>
          <button className="caret" aria-expanded={opened} aria-label={p.name} onClick={(e) => (e.stopPropagation(), toggle())}>
            {opened ? '▾' : '▸'}
          </button>
          {p.name}
        </td>
        <td className="mid">{p.kind === 'apikey' ? 'API key' : <>OAuth2 <span className="dim">{p.vendor}</span></>}</td>
        <td className="fill mono">{p.rules.length ? <Text of={p.rules.map(said).join(', ')} /> : <span className="dim">none</span>}</td>
        <td className="wide dim">
          <Time at={p.updatedAt} />
        </td>
      </tr>
      {opened && (
        <tr className="detail">
          <td colSpan={4}>
            <Whole of={p} />
          </td>
        </tr>
      )}
    </>
  )
}

function Whole({ of: p }: { of: Provider }) {
  return (
    <dl className="facts">
      <Fact name="ARN" mono>
        {p.arn}
        <Copy text={p.arn} what="Copy the ARN" />
      </Fact>
      {p.clientId && (
        <Fact name="Client id" mono>
          <Text of={p.clientId} />
          <Copy text={p.clientId} what="Copy the client id" />
        </Fact>
      )}
      {p.server && (
        <Fact name="Server" mono>
          <Text of={p.server} />
        </Fact>
      )}
      {p.callbackUrl && (
        <Fact name="Callback" mono>
          {p.callbackUrl}
          <Copy text={p.callbackUrl} what="Copy the callback URL, to register it there" />
        </Fact>
      )}
      {p.onBehalfOf && (
        <Fact name="On behalf of users" mono>
          {p.onBehalfOf}
        </Fact>
      )}
      {p.rules.map((r, i) => (
        <Fact key={i} name={i ? '' : 'Put into'} mono>
          <Text of={said(r)} />
        </Fact>
      ))}
      {p.injectScopes && (
        <Fact name="With scopes" mono>
          <Text of={p.injectScopes.join(' ')} />
        </Fact>
      )}
      <Fact name="Secret">
        <span className="dim">sealed in the vault, and never shown</span>{' '}
        <Link to={href('/identity/audit', { kind: 'release', q: p.arn })} className="link beside">
          who was given it
        </Link>
      </Fact>
      <Fact name="Created">
        <Time at={p.createdAt} />
      </Fact>
    </dl>
  )
}

function Workloads() {
  const [after] = useQuery('after')
  const { data, error, reload } = useData<{ workloads: Workload[]; more: boolean }>('/v1/workloads' + (after && '?after=' + encodeURIComponent(after)), 30_000)
  return (
    <>
      {error && <Problem error={error} retry={reload} />}
      <section className="panel" hidden={!!error && !data}>
        <header>
          <h2>Workload identities</h2>
        </header>
        {data?.workloads.length === 0 ? (
          <Empty title="No agent has an identity yet">Each runtime gets one of its own when it is deployed.</Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Workload identities">
            <table>
              <thead>
                <tr>
                  <th>Name</th>
                  <th className="mid">Of</th>
                  <th className="wide">Users go back to</th>
                  <th className="wide">Created</th>
                </tr>
              </thead>
              {data ? (
                <tbody>
                  {data.workloads.map((w) => (
                    <tr key={w.arn}>
                      <td title={w.arn}>
                        <Text of={w.name} />
                        <Copy text={w.arn} what="Copy the ARN" />
                      </td>
                      <td className="mid">
                        {w.runtime ? (
                          <Link to={href('/runtimes/' + encodeURIComponent(w.runtime))} className="link">
                            its runtime
                          </Link>
                        ) : (
                          <span className="dim">no runtime</span>
                        )}
                      </td>
                      <td className="wide mono" title={w.returnUrls.join('\n')}>
                        <Text of={w.returnUrls.join(', ') || '–'} />
                      </td>
                      <td className="wide dim">
                        <Time at={w.createdAt} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              ) : (
                <Skeleton rows={3} columns={4} />
              )}
            </table>
          </div>
        )}
      </section>
      {data && (after || data.more) && (
        <nav className="bar" aria-label="Pages">
          {after && (
            <Link to={href('/identity/providers')} className="button">
              First
            </Link>
          )}
          {data.more && (
            <Link to={href('/identity/providers', { after: data.workloads.at(-1)!.name })} className="button">
              Next
            </Link>
          )}
        </nav>
      )}
    </>
  )
}
