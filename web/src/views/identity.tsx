// Who may do what, and who did what: one place, each part of it loaded when it is asked for.
import { lazy, type ReactNode, Suspense, useEffect } from 'react'
import { Empty, Link } from '../ui'
import { href } from '../url'

const Audit = lazy(() => import('../identity/audit'))
const Users = lazy(() => import('../identity/users'))
const One = lazy(() => import('../identity/users').then((m) => ({ default: m.One })))
const Policies = lazy(() => import('../identity/policies'))
const Providers = lazy(() => import('../identity/providers'))
const Keys = lazy(() => import('../identity/keys'))

const parts: [path: string, name: string][] = [
  ['audit', 'Audit'],
  ['users', 'Users and roles'],
  ['keys', 'API keys'],
  ['policies', 'Policies'],
  ['providers', 'Providers'],
]

export default function Identity({ part = 'audit', id }: { part?: string; id?: string }) {
  useEffect(() => document.querySelector('.parts [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }), [part])
  return (
    <div className="stack">
      <nav className="parts" aria-label="Identity">
        {parts.map(([path, name]) => (
          <Link key={path} to={href('/identity/' + path)} current={part === path || (part === 'roles' && path === 'users')}>
            {name}
          </Link>
        ))}
      </nav>
      <Suspense fallback={null}>{view(part, id)}</Suspense>
    </div>
  )
}

function view(part: string, id?: string): ReactNode {
  switch (part) {
    case 'audit':
      return <Audit />
    case 'users':
    case 'roles':
      return id ? <One key={part + id} kind={part === 'users' ? 'user' : 'role'} name={id} /> : <Users />
    case 'keys':
      return <Keys />
    case 'policies':
      return <Policies />
    case 'providers':
      return <Providers />
  }
  return (
    <Empty title="There is no such page">
      <Link to={href('/identity/audit')} className="link">
        Go to the audit record
      </Link>
    </Empty>
  )
}
