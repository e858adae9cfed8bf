// What agents, models and tools wrote. It is hostile: text is shown as text, and nothing in it is followed.
import { Text } from './text'
import type { Message, Part } from './types'

export function Messages({ of, open = true }: { of: Message[]; open?: boolean }) {
  return (
    <div className="messages">
      {of.map((m, i) => (
        <details key={i} open={open && m.role !== 'system'} className={'message ' + m.role}>
          <summary>
            <b>{m.role}</b> <span className="dim cut"><Text of={gist(m)} /></span>
          </summary>
          {m.parts.map((p, k) => (
            <Piece key={k} of={p} />
          ))}
        </details>
      ))}
    </div>
  )
}

/** gist is the beginning of a message, for where it is folded. */
export function gist(m: Message): string {
  const p = m.parts[0]
  if (!p) return ''
  if (p.type === 'tool_call') return `calls ${p.name}`
  if (p.type === 'tool_result') return `result ${typeof p.value === 'string' ? p.value.slice(0, 80) : JSON.stringify(p.value)?.slice(0, 80)}`
  return (p.text ?? JSON.stringify(p.value) ?? '').slice(0, 100)
}

function Piece({ of: p }: { of: Part }) {
  switch (p.type) {
    case 'text':
      return <div className="text"><Text of={p.text ?? ''} /></div>
    case 'reasoning':
      return <div className="text reasoning"><Text of={p.text ?? ''} /></div>
    case 'tool_call':
      return (
        <div className="call">
          <div className="dim">
            calls <code>{p.name}</code>
          </div>
          <Value of={p.value} />
        </div>
      )
    case 'tool_result':
      return (
        <div className="call">
          <div className="dim">result {p.name && <code>{p.name}</code>}</div>
          <Value of={p.value ?? p.text} />
        </div>
      )
  }
  return <Value of={p.value ?? p.text} />
}

/** Value shows JSON indented, and text as it is. */
export function Value({ of: v }: { of: unknown }) {
  if (v === undefined || v === null) return <pre className="value dim">nothing</pre>
  if (typeof v === 'string') return <pre className="value"><Text of={v} /></pre>
  return <pre className="value"><Text of={JSON.stringify(v, null, 2)} /></pre>
}

/** plain is the text of messages by one role, for the conversation. */
export function plain(messages: Message[] | undefined, role: string): string {
  return (messages ?? [])
    .filter((m) => m.role === role)
    .flatMap((m) => m.parts)
    .filter((p) => p.type === 'text')
    .map((p) => p.text)
    .join('\n')
}
