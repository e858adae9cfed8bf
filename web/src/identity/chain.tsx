// Whether the record is as it was written: each carries a hash over itself and the one before.
import { useEffect, useState } from 'react'
import { call, type Refusal } from '../api'
import { count } from '../format'
import { Figure, Time } from '../ui'

interface Report {
  records: number
  first: number
  last: number
  problems: string[]
}

/** few is how many records are read anew without being asked; all of them are read each time. */
const few = 20_000

let last: { report: Report; at: string } | undefined // survives going to another page and back

export function Chain({ newest }: { newest?: number }) {
  const [state, setState] = useState(last)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<Refusal>()
  const verify = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const report = (await (await call('POST', '/v1/audit/verify')).json()) as Report
      last = { report, at: new Date().toISOString() }
      setState(last)
    } catch (e) {
      setError(e as Refusal)
    }
    setBusy(false)
  }
  const soon = newest !== undefined && newest <= few && !last
  useEffect(() => {
    if (soon) verify()
  }, [soon])
  const broken = !!state?.report.problems.length
  return (
    <div className="bar chain">
      {error ? (
        <span className="status bad" role="alert">
          not verified: {error.message}
        </span>
      ) : state ? (
        <span className={broken ? 'status bad' : 'status good'} role={broken ? 'alert' : undefined} title={`records ${state.report.first} to ${state.report.last}`}>
          {broken ? (
            <span>not as it was written: {state.report.problems.join('; ')}</span>
          ) : (
            <span>
              <Figure of={count(state.report.records)} /> records as they were written, <Time at={state.at} />
            </span>
          )}
        </span>
      ) : null}
      <button onClick={verify} disabled={busy} title="Read the whole record and check every hash">
        {busy ? 'Verifying…' : 'Verify'}
      </button>
    </div>
  )
}
