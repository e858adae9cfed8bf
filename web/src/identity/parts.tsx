// What the pages of this place have in common.
import { type ReactNode, useEffect, useState } from 'react'
import { call, type Refusal } from '../api'
import { Text } from '../trace/text'
import { Copy, Time } from '../ui'

/** Name is the part of an ARN that people know a thing by; all of it is in the tooltip. */
export function Name({ of: arn, copy }: { of: string; copy?: string }) {
  return (
    <>
      <span className="mono" title={arn}>
        <Text of={nameOf(arn)} />
      </span>
      {copy && <Copy text={arn} what={copy} />}
    </>
  )
}

/** nameOf is what follows the account in an ARN: user/admin. What is no ARN stays whole. */
export const nameOf = (arn: string) => (arn.startsWith('arn:') ? arn.split(':').slice(5).join(':') || arn : arn)

/** Search is a field whose words count a moment after they were typed. */
export function Search({ value, set, what, size = 28 }: { value: string; set: (v: string) => void; what: string; size?: number }) {
  const [text, setText] = useState(value)
  useEffect(() => setText(value), [value])
  useEffect(() => {
    if (text === value) return
    const timer = setTimeout(() => set(text), 250)
    return () => clearTimeout(timer)
  }, [text])
  return <input type="search" placeholder={what} aria-label={what} value={text} onChange={(e) => setText(e.target.value)} size={size} spellCheck={false} />
}

export function Fact({ name, children, mono = false }: { name: string; children: ReactNode; mono?: boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd className={mono ? 'mono' : undefined}>{children}</dd>
    </>
  )
}

/** Once shows what is shown once: a secret that was just made. It is in no address and no storage, and goes with the page. */
export function Once({ title, values, close }: { title: string; values: [name: string, value: string][]; close: () => void }) {
  return (
    <section className="panel once" role="status">
      <header>
        <h2 className="grow">{title}</h2>
        <button onClick={close}>I have it</button>
      </header>
      <div className="body stack">
        <p>This is the only time that it is shown. Keep it where it is needed, and nowhere else.</p>
        <dl className="facts">
          {values.map(([name, value]) => (
            <Fact key={name} name={name} mono>
              {value}
              <Copy text={value} what={`Copy the ${name.toLowerCase()}`} />
            </Fact>
          ))}
        </dl>
      </div>
    </section>
  )
}

/** useWrite calls the server, says what is under way and what went wrong, and reads the page's data anew. */
export function useWrite(done: () => void) {
  const [busy, setBusy] = useState('')
  const [error, setError] = useState<Refusal>()
  const write = async (what: string, method: string, path: string): Promise<Response | undefined> => {
    setBusy(what)
    setError(undefined)
    try {
      const answer = await call(method, path)
      done()
      return answer
    } catch (e) {
      setError(e as Refusal)
    } finally {
      setBusy('')
    }
  }
  return { busy, error, write }
}

/** LastUse is when a key was used last, and for what. */
export function LastUse({ at, service }: { at?: string; service?: string }) {
  if (!at) return <span className="dim">never</span>
  return (
    <>
      <Time at={at} />
      {service && <span className="dim wide"> {service}</span>}
    </>
  )
}
