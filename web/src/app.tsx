// The frame: who is logged in, where one is, and the view that the address names.
import { type ReactNode, lazy, Suspense, useEffect, useState } from 'react'
import { call, get, type Info, loggedOut, useData } from './api'
import { icons } from './icons'
import { Crumbs } from './crumbs'
import { ranges, said, useRange } from './ranges'
import { Find } from './find'
import { usePaused } from './live'
import { Keys } from './keys'
import { href, useURL } from './url'
import { Empty, Link } from './ui'
import { Login } from './views/login'
import { Runtimes } from './views/runtimes'
import { Sessions } from './views/sessions'

const RuntimeView = lazy(() => import('./views/runtime'))
const SessionView = lazy(() => import('./views/session'))
const Play = lazy(() => import('./views/play'))
const Traces = lazy(() => import('./views/traces'))
const TraceView = lazy(() => import('./views/trace'))
const Metrics = lazy(() => import('./views/metrics'))
const Identity = lazy(() => import('./views/identity'))
const Logs = lazy(() => import('./views/logs'))

export function App() {
  const [who, setWho] = useState<string | null>()
  const [provider, setProvider] = useState<string>()
  const ask = () =>
    get<{ arn: string; provider?: string }>('/console/me').then(
      (me) => {
        setProvider(me.provider)
        setWho(me.arn || null)
      },
      () => setWho(null),
    )
  useEffect(() => {
    redeem().then(ask)
    const end = () => setWho(null)
    loggedOut.addEventListener('end', end)
    return () => loggedOut.removeEventListener('end', end)
  }, [])
  if (who === undefined) return null
  return who === null ? <Login done={ask} provider={provider} /> : <Frame who={who} />
}

/** redeem trades the ticket of a link that `moorage console` printed, and takes it out of the address. */
async function redeem() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get('ticket')
  if (!ticket) return
  history.replaceState(null, '', location.pathname + location.search)
  await call('POST', '/console/login', { ticket }).catch(() => {})
}

const places = [
  ['Runtimes', '/', icons.runtimes],
  ['Sessions', '/sessions', icons.sessions],
  ['Traces', '/traces', icons.traces],
  ['Logs', '/logs', icons.logs],
  ['Metrics', '/metrics', icons.metrics],
  ['Identity', '/identity', icons.identity],
  ['Play', '/play', icons.play],
] as const

function Frame({ who }: { who: string }) {
  const url = useURL()
  const path = url.pathname.replace(/^\/console/, '') || '/'
  const { data: info } = useData<Info>('/v1/info')
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent)
  const root = parts[0] === 'runtimes' ? '/' : '/' + (parts[0] ?? '')
  useEffect(() => {
    document.title = (parts.at(-1) ?? 'Runtimes') + ' · Moorage'
  }, [path])
  return (
    <div className="frame">
      <header className="top">
        <Link to={href('/')} className="brand">
          <img src="/console/icon.svg" alt="" />
          <span>Moorage</span>
        </Link>
        <Crumbs parts={parts} />
        <Find />
        <Keys />
        <Range />
        <Live />
        <Theme />
        <button className="plain wide" title={`Log out ${who}`} onClick={() => call('POST', '/console/logout').finally(() => location.reload())}>
          Log out
        </button>
      </header>
      <nav className="rail" aria-label="Sections">
        {places.map(([name, to, icon]) => (
          <Link key={to} to={href(to)} current={root === to} title={name}>
            {icon}
            <span>{name}</span>
          </Link>
        ))}
      </nav>
      <main className="main">
        {info?.warning && <div className="notice bad">{info.warning}</div>}
        <Suspense fallback={null}>{view(parts, info)}</Suspense>
      </main>
    </div>
  )
}

function view([section, id, more]: string[], info?: Info): ReactNode {
  switch (section ?? 'runtimes') {
    case 'runtimes':
      return id ? <RuntimeView id={id} /> : <Runtimes />
    case 'sessions':
      return id ? <SessionView id={id} /> : <Sessions />
    case 'traces':
      return id ? <TraceView id={id} /> : <Traces />
    case 'logs':
      return <Logs />
    case 'metrics':
      return <Metrics />
    case 'identity':
      return <Identity part={id} id={more} />
    case 'play':
      return <Play info={info} />
  }
  return (
    <Empty title="There is no such page">
      <Link to="/" className="link">
        Go to the runtimes
      </Link>
    </Empty>
  )
}

function Range() {
  const [range, setRange] = useRange()
  return (
    <select aria-label="Time range" value={range.text} onChange={(e) => setRange(e.target.value)}>
      {range.fixed && <option value={range.text}>{said(range)}</option>}
      {Object.keys(ranges).map((r) => (
        <option key={r} value={r}>
          last {r.replace(/(\d+)/, '$1 ')}
        </option>
      ))}
    </select>
  )
}

/** Live says whether pages follow what comes in; pressed, what is on the screen stays. */
function Live() {
  const [paused, pause] = usePaused()
  return (
    <button className="plain live" aria-pressed={!paused} title={paused ? 'The page stays as it is. Press to follow again.' : 'The page follows what comes in. Press to keep it as it is.'} onClick={() => pause(!paused)}>
      <i /> <span className="wide">{paused ? 'paused' : 'live'}</span>
      <span className="hidden-text">follow what comes in</span>
    </button>
  )
}

function Theme() {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  const [theme, setTheme] = useState(() => localStorage.getItem('theme') ?? (dark ? 'dark' : 'light'))
  useEffect(() => {
    document.documentElement.dataset.theme = theme
    localStorage.setItem('theme', theme)
  }, [theme])
  const other = theme === 'dark' ? 'light' : 'dark'
  return (
    <button className="plain" aria-label={`Switch to the ${other} theme`} data-action="theme" title={`Switch to the ${other} theme`} onClick={() => setTheme(other)}>
      {icons.theme}
    </button>
  )
}
