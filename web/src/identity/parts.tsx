// What the pages of this place have in common.
import { type ReactNode, useEffect, useState } from 'react'
import { Text } from '../trace/text'
import { Copy } from '../ui'

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
