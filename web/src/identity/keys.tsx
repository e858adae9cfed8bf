// API keys: each lets a program call one runtime.
import { type FormEvent, useState } from 'react'
import { type Runtime, useData } from '../api'
import { Text } from '../trace/text'
import { Command, Copy, Empty, Link, Problem, Skeleton, Time } from '../ui'
import { href, useQuery } from '../url'
import { LastUse, Once, useWrite } from './parts'

interface APIKey {
  id: string
  runtime: string
  key?: string
  name?: string
  scopes: string[]
  endpoints: string[]
  active: boolean
  createdBy: string
  createdAt: string
  expiresAt?: string
  lastUsedAt?: string
}

const scopes = { invoke: 'call it', stop: 'stop sessions', command: 'run commands in sessions' }
const lives: [string, string][] = [['720h', '30 days'], ['2160h', '90 days'], ['8760h', 'a year'], ['', 'no end']]

export default function Keys() {
  const [runtime, choose] = useQuery('runtime')
  const [making, make] = useQuery('new')
  const { data: list } = useData<{ runtimes: Runtime[] }>('/v1/runtimes')
  const { data, error, reload } = useData<{ apiKeys: APIKey[] }>('/v1/keys' + (runtime && '?runtime=' + encodeURIComponent(runtime)), 10_000)
  const [made, setMade] = useState<APIKey>()
  const { busy, error: refused, write } = useWrite(reload)
  const name = (id: string) => list?.runtimes.find((r) => r.id === id)?.name ?? id
  return (
    <>
      <div className="bar">
        <select aria-label="Runtime" value={runtime} onChange={(e) => choose(e.target.value)}>
          <option value="">every runtime</option>
          {list?.runtimes.map((r) => (
            <option key={r.id} value={r.id}>
              {r.name}
            </option>
          ))}
        </select>
        <span className="grow" />
        {!making && (
          <button onClick={() => make('1')} disabled={!list?.runtimes.length}>
            Create a key
          </button>
        )}
      </div>
      {made?.key && <Once title={`A new API key of ${name(made.runtime)}`} values={[['API key', made.key]]} close={() => setMade(undefined)} />}
      {refused && <Problem error={refused} />}
      {making && list && (
        <New
          runtimes={list.runtimes} runtime={runtime} busy={busy === 'create'} close={() => make('')}
          create={async (id, asked) => {
            const answer = await write('create', 'POST', `/v1/runtimes/${encodeURIComponent(id)}/keys?${asked}`)
            if (!answer) return
            setMade(await answer.json())
            make('')
          }}
        />
      )}
      {error && <Problem error={error} retry={reload} />}
      <div className="panel" hidden={!!error && !data}>
        {data?.apiKeys.length === 0 ? (
          <Empty title={runtime ? 'This runtime has no API key' : 'There is no API key'}>
            <p>A program sends one as a bearer token, and can call that one runtime:</p>
            <Command text={`moorage keys create --name ${runtime ? name(runtime) : 'NAME'} --label ci --expires 720h`} />
          </Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="API keys">
            <table>
              <thead>
                <tr>
                  <th>Key</th>
                  <th className="mid">Runtime</th>
                  <th className="wide">For</th>
                  <th>Status</th>
                  <th className="mid">Last use</th>
                  <th className="wide">Created</th>
                  <th />
                </tr>
              </thead>
              {data ? (
                <tbody>
                  {data.apiKeys.map((k) => (
                    <Line key={k.id} of={k} runtime={name(k.runtime)} busy={busy !== ''} write={write} />
                  ))}
                </tbody>
              ) : (
                <Skeleton rows={4} columns={7} />
              )}
            </table>
          </div>
        )}
      </div>
    </>
  )
}

function state(k: APIKey): [tone: string, word: string] {
  if (k.expiresAt && Date.parse(k.expiresAt) < Date.now()) return ['', 'expired']
  return k.active ? ['good', 'active'] : ['', 'disabled']
}

function Line({ of: k, runtime, busy, write }: { of: APIKey; runtime: string; busy: boolean; write: (what: string, method: string, path: string) => void }) {
  const path = `/v1/runtimes/${encodeURIComponent(k.runtime)}/keys/${k.id}`
  const [tone, word] = state(k)
  return (
    <tr>
      <td title={`moorage_${k.id}_…`}>
        {k.name && (
          <>
            <Text of={k.name} />{' '}
          </>
        )}
        <span className="mono dim">moorage_{k.id.slice(0, 4)}…</span>
        <Copy text={k.id} what="Copy the key’s id" />
      </td>
      <td className="mid">
        <Link to={href('/runtimes/' + encodeURIComponent(k.runtime))}>{runtime}</Link>
        {k.endpoints.length > 0 && <span className="dim"> {k.endpoints.join(', ')}</span>}
      </td>
      <td className="wide">{k.scopes.join(', ')}</td>
      <td title={k.expiresAt && `until ${k.expiresAt}`}>
        <span className={'status ' + tone}>{word}</span>
        {word === 'active' && k.expiresAt && <span className="dim wide"> until {k.expiresAt.slice(0, 10)}</span>}
      </td>
      <td className="mid">
        <LastUse at={k.lastUsedAt} />
      </td>
      <td className="wide dim" title={'by ' + k.createdBy}>
        <Time at={k.createdAt} />
      </td>
      <td className="right acts">
        {word !== 'expired' &&
          (k.active ? (
            <button className="mid" disabled={busy} onClick={() => confirm(`Disable the key ${k.name || k.id}? Calls with it are refused from now on, until it is enabled again.`) && write(k.id, 'POST', path + '/disable')}>
              Disable
            </button>
          ) : (
            <button className="mid" disabled={busy} onClick={() => write(k.id, 'POST', path + '/enable')}>
              Enable
            </button>
          ))}
        <button disabled={busy} onClick={() => confirm(`Revoke the key ${k.name || k.id} of ${runtime}? It cannot be brought back.`) && write(k.id, 'DELETE', path)}>
          Revoke
        </button>
      </td>
    </tr>
  )
}

function New({ runtimes, runtime, busy, create, close }: { runtimes: Runtime[]; runtime: string; busy: boolean; create: (id: string, asked: URLSearchParams) => void; close: () => void }) {
  const [of, setOf] = useState(runtime || runtimes[0]?.id || '')
  const submit = (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const asked = new URLSearchParams({ name: String(form.get('label')), scope: form.getAll('scope').join(',') })
    for (const name of ['endpoint', 'expires']) if (form.get(name)) asked.set(name, String(form.get(name)))
    create(of, asked)
  }
  return (
    <form className="panel" onSubmit={submit}>
      <header>
        <h2>Create an API key</h2>
      </header>
      <div className="body fields">
        <label>
          Runtime
          <select value={of} onChange={(e) => setOf(e.target.value)}>
            {runtimes.map((r) => (
              <option key={r.id} value={r.id}>
                {r.name}
              </option>
            ))}
          </select>
        </label>
        <label>
          What it is for
          <input name="label" maxLength={100} placeholder="ci" />
        </label>
        <label>
          Endpoint
          <select name="endpoint">
            <option value="">every endpoint</option>
            {runtimes
              .find((r) => r.id === of)
              ?.endpoints.map((name) => (
                <option key={name}>{name}</option>
              ))}
          </select>
        </label>
        <label>
          Good for
          <select name="expires">
            {lives.map(([value, name]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <fieldset>
          <legend>It may</legend>
          {Object.entries(scopes).map(([scope, does]) => (
            <label key={scope} className="bar">
              <input type="checkbox" name="scope" value={scope} defaultChecked={scope !== 'command'} /> {does}
            </label>
          ))}
        </fieldset>
      </div>
      <div className="body bar">
        <button className="primary" disabled={busy}>
          {busy ? 'Creating…' : 'Create'}
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </form>
  )
}
