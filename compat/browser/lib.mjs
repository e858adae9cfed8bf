// What the tests of the console share: a browser, a login, and the views that it has.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

/** env is what the Go test says: the server, its agents, and what their calls left behind. */
export const env = JSON.parse(process.env.COMPAT)

/** browser starts the machine's own Chromium; the flags keep it from looking for hosts of its maker. */
export const browser = () =>
  chromium.launch({
    executablePath: env.chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--force-color-profile=srgb'],
  })

/** ticket is the link that `moorage console` prints: it logs one browser in, once. */
export const ticket = () => execFileSync(env.bin, ['console', '--dir', env.dir], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).match(/http\S+/)[0]

/** patience is how long anything is waited for, in milliseconds: machines may be slow, and what never comes fails all the same. */
export const patience = Number(process.env.PATIENCE ?? 90_000)

/** login opens the console in a context of its own, and notes in faults what a page must not do. */
export async function login(chrome, options = {}) {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options })
  context.setDefaultTimeout(patience)
  const faults = []
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI)))
  const page = await context.newPage()
  page.on('console', (m) => m.type() === 'error' && faults.push(m.text()))
  page.on('pageerror', (e) => faults.push(String(e.stack)))
  page.on('request', (r) => new URL(r.url()).origin !== env.endpoint && !/^(data|blob):/.test(r.url()) && faults.push('another host was asked: ' + r.url()))
  await page.goto(ticket())
  await page.waitForSelector('.rail')
  return { page, context, faults }
}

/** open goes to a path of the console and waits until what is looked for is there, and nothing loads. */
export async function open(page, path, wanted) {
  await page.goto(env.endpoint + '/console' + path)
  await page.waitForSelector(wanted)
  await settled(page)
}

export const settled = (page) => page.waitForFunction(() => !document.querySelector('.skeleton') && new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** serious lists what axe finds that keeps people out. Scripts of a test are not under the page's policy. */
export async function serious(page) {
  await page.evaluate(axe)
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join('; ')}`)
}

const { runtime, session, trace } = env

/** views are all that the console shows: where, and what is there once it is. */
export const views = {
  runtimes: ['/', 'tbody a'],
  failed: [`/runtimes/${env.failed}`, '.u-over'],
  runtime: [`/runtimes/${runtime}`, '.u-over'],
  sessions: ['/sessions', 'tbody a'],
  session: [`/sessions/${session}`, '.turn'],
  traces: ['/traces', 'tbody a'],
  timeline: [`/traces/${trace}`, '.span-row'],
  span: [`/traces/${trace}?span=${env.span}`, '.span-panel'],
  trajectory: [`/traces/${trace}?view=Trajectory`, '.card'],
  log: [`/traces/${trace}?view=Log`, '.line'],
  lines: [`/traces/${trace}?lines=1`, '.log-row'],
  compare: [`/traces/${trace}?view=Compare&with=${env.second}`, '.sum'],
  died: [`/traces/${env.died}`, '.span-row'],
  hostile: [`/traces/${env.hostile}?span=${env.hostileSpan}`, '.span-panel'],
  logs: ['/logs?runtime=' + runtime, '.line'],
  metrics: ['/metrics', '.u-over'],
  audit: ['/identity', '.records td'],
  record: ['/identity/audit?kind=all&range=7d&record=1', '.facts dd'],
  users: ['/identity/users', 'tbody a'],
  user: ['/identity/users/admin', '.code'],
  apikeys: ['/identity/keys?new=1', 'form.panel'],
  policies: ['/identity/policies', '.code'],
  providers: ['/identity/providers', 'tbody tr'],
  play: ['/play?runtime=' + runtime, 'textarea'],
  nowhere: ['/nowhere', '.empty'],
}
