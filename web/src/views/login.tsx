import { type FormEvent, useState } from 'react'
import { call, type Refusal } from '../api'
import { Command, Problem } from '../ui'

export function Login({ done }: { done: () => void }) {
  const [error, setError] = useState<Refusal>()
  const [busy, setBusy] = useState(false)
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
        <p className="dim">The quickest way in is a link from the machine that runs the server:</p>
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
        <button className="primary" disabled={busy}>
          Log in
        </button>
      </form>
    </div>
  )
}
