// Policies as they are read: JSON indented, and Cedar as it was written. What permits and what denies stands out, and nothing else does.
import { Fragment } from 'react'
import { Text } from '../trace/text'
import { Copy } from '../ui'

const json = /"(?:\\.|[^"\\])*"(?:\s*:)?|[{}[\],]/g
const cedar = /\/\/[^\n]*|"(?:\\.|[^"\\])*"|\b(?:permit|forbid|when|unless|principal|action|resource|context|in|is|like|has|if|then|else)\b|[(){}[\],;]/g

function tone(token: string): string {
  if (/^"Allow"|^permit$/.test(token)) return 'allows'
  if (/^"Deny"|^forbid$/.test(token)) return 'denies'
  if (/:$/.test(token) || /^[a-z]+$/.test(token)) return 'word'
  return /^("|\/\/\/)/.test(token) ? '' : 'dim'
}

/** Code shows a document; a policy that comes as an object is JSON. */
export function Code({ of: document, what }: { of: unknown; what: string }) {
  const text = typeof document === 'string' ? document : JSON.stringify(document, null, 2)
  const out = []
  let from = 0
  for (const found of text.matchAll(typeof document === 'string' ? cedar : json)) {
    out.push(<Text key={out.length} of={text.slice(from, found.index)} />)
    const name = tone(found[0])
    out.push(name ? <span key={out.length} className={name}><Text of={found[0]} /></span> : <Fragment key={out.length}><Text of={found[0]} /></Fragment>)
    from = found.index + found[0].length
  }
  return (
    <div className="code">
      <pre className="value" tabIndex={0} role="region" aria-label={what}>
        {out}
        <Text of={text.slice(from)} />
      </pre>
      <Copy text={text} what={'Copy ' + what} />
    </div>
  )
}
