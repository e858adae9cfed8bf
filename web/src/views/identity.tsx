// Who may do what, and who did what: one place, each part of it loaded when it is asked for.
import { lazy, type ReactNode, Suspense } from 'react'
import { Empty, Link } from '../ui'
import { href } from '../url'

const Audit = lazy(() => import('../identity/audit'))

const parts: [path: string, name: string][] = [['audit', 'Audit']]

export default function Identity({ part = 'audit' }: { part?: string }) {
  return (
    <div className="stack">
      <nav className="parts" aria-label="Identity">
        {parts.map(([path, name]) => (
          <Link key={path} to={href('/identity/' + path)} current={part === path}>
            {name}
          </Link>
        ))}
      </nav>
      <Suspense fallback={null}>{view(part)}</Suspense>
    </div>
  )
}

function view(part: string): ReactNode {
  switch (part) {
    case 'audit':
      return <Audit />
  }
  return (
    <Empty title="There is no such page">
      <Link to={href('/identity/audit')} className="link">
        Go to the audit record
      </Link>
    </Empty>
  )
}
