import { type FormEvent, useState } from 'react'
import { call, type Refusal } from '../api'
import { Command, Copy, Problem } from '../ui'

/** refusals are why a login by the provider failed, in words of our own: the address, which anybody can write, has one of these names only. */
const refusals: Record<string, (provider: string) => string> = {
  expired: () => 'This login was not begun in this browser, or took longer than ten minutes. Try again.',
  refused: (provider) => `${provider} did not let you in.`,
  unknown: (provider) => `${provider} knows you, but here you are nobody yet: no rule makes you a user or role. Give an administrator the request’s id; what ${provider} says of you is on the audit record.`,
  unavailable: (provider) => `${provider} cannot be asked now. Try again later, or log in with an access key.`,
}

/** refused reads why the provider's login failed, and takes it out of the address. */
function refused() {
  const said = new URLSearchParams(location.hash.slice(1))
  const why = refusals[said.get('login') ?? '']
  if (!why) return
  history.replaceState(null, '', location.pathname + location.search)
  const request = said.get('request') ?? ''
  return { why, request: /^[0-9a-f-]{36}$/.test(request) ? request : '' }
}

export function Login({ done, provider }: { done: () => void; provider?: string }) {
  const [error, setError] = useState<Refusal>()
  const [busy, setBusy] = useState(false)
  const [failed] = useState(refused)
  const submit = async (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    setBusy(true)
    try {
      await call('POST', '/console/login', { accessKeyId: form.get('id'), secretAccessKey: form.get('secret') })
      done()
    } catch (error) {
      setError(error as Refusal)
    } finally {
      setBusy(false)
    }
  }
  return (
    <div className="login">
      <form onSubmit={submit}>
        <h1>Moorage</h1>
        {failed && (
          <div className="notice bad" role="alert">
            {failed.why(provider ?? 'The provider')}
            {failed.request && (
              <div className="dim mono">
                request {failed.request}
                <Copy text={failed.request} what="Copy the request id" />
              </div>
            )}
          </div>
        )}
        {provider && (
          <a className="button primary" href={'/console/login/openid?to=' + encodeURIComponent(location.pathname + location.search)}>
            Log in with {provider}
          </a>
        )}
        <p className="dim">{provider ? 'Or by a link from the machine that runs the server:' : 'The quickest way in is a link from the machine that runs the server:'}</p>
        <Command text="moorage console --open" />
        <p className="dim">Or log in with an access key.</p>
        <label>
          Access key id
          <input name="id" autoComplete="username" spellCheck={false} required className="mono" />
        </label>
        <label>
          Secret access key
          <input name="secret" type="password" autoComplete="current-password" required className="mono" />
        </label>
        {error && <Problem error={error} />}
        <button className={provider ? undefined : 'primary'} disabled={busy}>
          Log in
        </button>
      </form>
    </div>
  )
}
