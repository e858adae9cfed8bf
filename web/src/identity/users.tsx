// Users and roles: who there is, what they may do, and the keys that users sign with.
import { useState } from 'react'
import { useData } from '../api'
import { Text } from '../trace/text'
import { Command, Copy, Empty, Link, Problem, Skeleton, Time } from '../ui'
import { href, useQuery } from '../url'
import { Code } from './code'
import { Fact, LastUse, Once, Search, useWrite } from './parts'

interface AccessKey {
  id: string
  secret?: string
  active: boolean
  createdAt: string
  lastUsedAt?: string
  lastUsedFor?: string
}

export interface Principal {
  kind: 'user' | 'role'
  name: string
  id: string
  arn: string
  createdAt: string
  description?: string
  maxSessionSeconds?: number
  trust?: unknown
  policies: { name: string; arn?: string; document?: unknown }[]
  accessKeys: AccessKey[]
}

/** to is where a user or role is shown. */
export const to = (kind: string, name: string) => href(`/identity/${kind}s/${encodeURIComponent(name)}`)

const newest = (keys: AccessKey[]) => keys.map((k) => k.lastUsedAt ?? '').sort().at(-1)

export default function Users() {
  const { data, error, reload } = useData<{ principals: Principal[] }>('/v1/principals', 10_000)
  const [text, setText] = useQuery('q')
  const [kind, setKind] = useQuery('kind')
  const shown = data?.principals.filter((p) => (!kind || p.kind === kind) && (!text || [p.name, p.arn, ...p.policies.map((n) => n.name), ...p.accessKeys.map((k) => k.id)].some((f) => f.toLowerCase().includes(text.toLowerCase()))))
  return (
    <>
      <div className="bar">
        <select aria-label="Kind" value={kind} onChange={(e) => setKind(e.target.value)}>
          <option value="">users and roles</option>
          <option value="user">users</option>
          <option value="role">roles</option>
        </select>
        <Search what="Name, policy or access key id" size={32} value={text} set={setText} />
      </div>
      {error && <Problem error={error} retry={reload} />}
      <div className="panel" hidden={!!error && !data}>
        {shown?.length === 0 ? (
          <Empty title={text || kind ? 'Nobody matches' : 'Nobody is here'}>
            <p>A user is made with its first key:</p>
            <Command text="moorage keys create --user alice" />
          </Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Users and roles">
            <table>
              <thead>
                <tr>
                  <th>Name</th>
                  <th>Policies</th>
                  <th className="right mid">Active keys</th>
                  <th className="wide">Last use of a key</th>
                  <th className="wide">Created</th>
                </tr>
              </thead>
              {shown ? (
                <tbody>
                  {shown.map((p) => (
                    <tr key={p.arn}>
                      <td>
                        <Link to={to(p.kind, p.name)} title={p.arn}>
                          {p.name}
                        </Link>{' '}
                        {p.kind === 'role' && <span className="dim">role</span>}
                      </td>
                      <td className="fill">
                        {p.policies.length ? <Text of={p.policies.map((n) => n.name).join(', ')} /> : <span className="dim">none: may do nothing</span>}
                      </td>
                      <td className="right mid num">{p.kind === 'user' ? p.accessKeys.filter((k) => k.active).length : <span className="dim">–</span>}</td>
                      <td className="wide">{p.kind === 'user' ? <LastUse at={newest(p.accessKeys)} /> : <span className="dim">–</span>}</td>
                      <td className="wide dim">
                        <Time at={p.createdAt} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              ) : (
                <Skeleton rows={4} columns={5} />
              )}
            </table>
          </div>
        )}
      </div>
    </>
  )
}

/** One is a user or role, whole. */
export function One({ kind, name }: { kind: 'user' | 'role'; name: string }) {
  const { data: p, error, reload } = useData<Principal>(`/v1/principals/${kind}/${encodeURIComponent(name)}`, 10_000)
  if (error && !p) return <Problem error={error} retry={reload} />
  if (!p) return null
  return (
    <>
      <div className="bar">
        <h1 className="cut">{p.name}</h1>
        <span className="dim">{p.kind}</span>
        <span className="grow" />
        <Link to={href('/identity/audit', { kind: 'all', caller: p.kind === 'role' ? `*assumed-role/${p.name}/*` : p.arn })} className="link">
          What it did
        </Link>
        <Link to={href('/identity/policies', { principal: p.arn })} className="link">
          Try what it may do
        </Link>
      </div>
      {kind === 'user' && <Keys of={p} reload={reload} />}
      <section className="panel">
        <header>
          <h2>Policies</h2>
        </header>
        <div className="body stack">
          {p.policies.length === 0 && (
            <div>
              <p className="dim">None: what no policy allows is refused. One is given with</p>
              <Command text={`moorage policy put --${p.kind} ${p.name} --name may-call may-call.json`} />
            </div>
          )}
          {p.policies.map((n) => (
            <details key={n.name} open={p.policies.length < 4}>
              <summary>
                <Text of={n.name} /> <span className="dim">{n.arn ? 'attached, built in' : 'its own'}</span>
              </summary>
              <Code of={n.document} what={`the policy ${n.name}`} />
            </details>
          ))}
        </div>
      </section>
      {p.trust !== undefined && (
        <section className="panel">
          <header>
            <h2>Who may assume it</h2>
          </header>
          <div className="body">
            <Code of={p.trust} what="the trust policy" />
          </div>
        </section>
      )}
      <section className="panel">
        <header>
          <h2>Facts</h2>
        </header>
        <dl className="facts body">
          <Fact name="ARN" mono>
            {p.arn}
            <Copy text={p.arn} what="Copy the ARN" />
          </Fact>
          <Fact name="Id" mono>
            {p.id}
            <Copy text={p.id} what="Copy the id" />
          </Fact>
          {p.description && (
            <Fact name="Description">
              <Text of={p.description} />
            </Fact>
          )}
          {p.kind === 'role' && !!p.maxSessionSeconds && (
            <Fact name="Sessions">
              at most <span className="num">{p.maxSessionSeconds / 60}</span>
              <span className="unit">min</span>
            </Fact>
          )}
          <Fact name="Created">
            <Time at={p.createdAt} />
          </Fact>
        </dl>
      </section>
    </>
  )
}

/** most is how many access keys a user has at most, as at AWS. */
const most = 2

function Keys({ of: p, reload }: { of: Principal; reload: () => void }) {
  const [made, setMade] = useState<AccessKey>()
  const { busy, error, write } = useWrite(reload)
  const path = `/v1/users/${encodeURIComponent(p.name)}/access-keys`
  const create = async () => setMade(await (await write('create', 'POST', path))?.json())
  return (
    <>
      {made?.secret && <Once title={`A new access key of ${p.name}`} values={[['Access key id', made.id], ['Secret access key', made.secret]]} close={() => setMade(undefined)} />}
      {error && <Problem error={error} />}
      <section className="panel">
        <header>
          <h2 className="grow">Access keys</h2>
          <button onClick={create} disabled={busy !== '' || p.accessKeys.length >= most} title={p.accessKeys.length >= most ? 'A user has two keys at most: delete one first' : undefined}>
            {busy === 'create' ? 'Creating…' : 'Create a key'}
          </button>
        </header>
        {p.accessKeys.length === 0 ? (
          <p className="body dim">None: this user can log in and sign nothing.</p>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Access keys">
            <table>
              <thead>
                <tr>
                  <th>Id</th>
                  <th className="mid">Status</th>
                  <th className="mid">Last use</th>
                  <th className="wide">Created</th>
                  <th />
                </tr>
              </thead>
              <tbody>
                {p.accessKeys.map((k) => (
                  <tr key={k.id}>
                    <td className="mono">
                      {k.id}
                      <Copy text={k.id} what="Copy the access key id" />
                    </td>
                    <td className="mid">
                      <span className={k.active ? 'status good' : 'status'}>{k.active ? 'active' : 'disabled'}</span>
                    </td>
                    <td className="mid">
                      <LastUse at={k.lastUsedAt} service={k.lastUsedFor} />
                    </td>
                    <td className="wide dim">
                      <Time at={k.createdAt} />
                    </td>
                    <td className="right acts">
                      {k.active ? (
                        <button disabled={busy !== ''} onClick={() => confirm(`Disable ${k.id}? What signs with it is refused from now on, until it is enabled again.`) && write(k.id, 'POST', `${path}/${k.id}/disable`)}>
                          Disable
                        </button>
                      ) : (
                        <button disabled={busy !== ''} onClick={() => write(k.id, 'POST', `${path}/${k.id}/enable`)}>
                          Enable
                        </button>
                      )}
                      <button disabled={busy !== ''} onClick={() => confirm(`Delete ${k.id} of ${p.name}? It cannot be brought back.`) && write(k.id, 'DELETE', `${path}/${k.id}`)}>
                        Delete
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
    </>
  )
}
