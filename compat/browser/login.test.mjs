// A user pool's login page in a real browser, up to the application that the user comes from.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import test, { after, before } from 'node:test'
import { browser, env } from './lib.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
let chrome

before(async () => {
  mkdirSync(env.screens, { recursive: true })
  chrome = await browser()
})
after(() => chrome.close())

const verifier = randomBytes(40).toString('base64url')
const challenge = createHash('sha256').update(verifier).digest('base64url')

test('a user signs in, and the application gets tokens', async () => {
  const context = await chrome.newContext({ viewport: { width: 360, height: 740 }, colorScheme: 'dark' })
  const page = await context.newPage()
  const violations = []
  page.on('console', (m) => /Content Security Policy/.test(m.text()) && violations.push(m.text()))
  const query = new URLSearchParams({ response_type: 'code', client_id: env.client, redirect_uri: env.redirect, state: 'a b&c', scope: 'openid', code_challenge: challenge, code_challenge_method: 'S256' })
  const asked = await page.goto(`${env.endpoint}/oauth2/authorize?${query}`)
  assert.match(asked.headers()['content-security-policy'], /^default-src 'none'; style-src 'sha256-/)
  assert.equal(await page.evaluate(() => document.scripts.length), 0)
  await page.screenshot({ path: `${env.screens}/login-360-dark.png` })
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('button')).minHeight), '44px') // the style is let through
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0)

  await page.fill('#username', 'alice')
  await page.fill('#password', 'wrong')
  await page.click('button')
  assert.equal(await page.textContent('.problem'), 'Incorrect username or password.')
  assert.equal(await page.inputValue('#username'), 'alice')
  assert.equal(await page.inputValue('#password'), '')

  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.screenshot({ path: `${env.screens}/login-1280-light.png` })
  await page.evaluate(axe)
  const found = await page.evaluate(() => axe.run())
  assert.deepEqual(found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id), [])

  await page.fill('#password', env.password)
  await page.click('button')
  await page.waitForURL((at) => at.href.startsWith(env.redirect))
  const back = new URL(page.url())
  assert.equal(back.searchParams.get('state'), 'a b&c')
  assert.deepEqual(violations, [])
  await context.close()

  const form = { grant_type: 'authorization_code', client_id: env.client, redirect_uri: env.redirect, code: back.searchParams.get('code'), code_verifier: verifier }
  const tokens = await (await fetch(`${env.endpoint}/oauth2/token`, { method: 'POST', body: new URLSearchParams(form) })).json()
  assert.ok(tokens.access_token && tokens.id_token && tokens.refresh_token, JSON.stringify(tokens))
  const call = await fetch(`${env.endpoint}/runtimes/${encodeURIComponent(env.arn)}/invocations`, { method: 'POST', headers: { Authorization: `Bearer ${tokens.access_token}` }, body: '{"op":"state"}' })
  assert.equal(call.status, 200, await call.text())
})
