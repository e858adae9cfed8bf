// The console's pages of identity: who may do what, and who did what.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { browser, env, login, open, patience } from './lib.mjs'

let chrome

before(async () => {
  mkdirSync(env.screens, { recursive: true })
  chrome = await browser()
})
after(() => chrome.close())

/** as opens the console as somebody else than the administrator. */
async function as(keyId, secret) {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 800 } })
  context.setDefaultTimeout(patience)
  const page = await context.newPage()
  await page.goto(env.endpoint + '/console/identity/audit')
  await page.getByLabel('Access key').first().fill(keyId)
  await page.getByLabel('Secret').fill(secret)
  await page.keyboard.press('Enter')
  await page.waitForSelector('.rail')
  return { page, context }
}

test('what the reader may not see says which right is missing, and does not log out', async () => {
  const { page, context } = await as(env.limitedId, env.limitedSecret)
  await page.locator('main [role=alert] code', { hasText: 'moorage:ListAudit' }).waitFor()
  await page.screenshot({ path: `${env.screens}/forbidden-1280-light.png` })
  assert.equal(await page.locator('.login').count(), 0)
  await context.close()
})

test('a refusal is found by who was refused, and opens to all that is known of it', async () => {
  const { page, context, faults } = await login(chrome)
  await open(page, '/identity/audit', '.records td')
  await page.getByLabel('Outcome').selectOption('refused')
  await page.getByLabel('Caller', { exact: true }).fill(env.limited)
  await page.getByLabel('Action', { exact: true }).fill('ListAudit')
  const row = page.locator('.records tbody tr', { hasText: env.limited }).first()
  await row.waitFor()
  await page.waitForFunction((who) => [...document.querySelectorAll('.records tbody tr:not(.detail)')].every((r) => r.textContent.includes(who)), env.limited)
  await row.getByRole('button').press('Enter') // by the keyboard
  await page.locator('.detail', { hasText: 'no policy of' }).waitFor()
  const link = page.url()
  assert.match(link, /outcome=refused/)
  assert.match(link, /record=\d+/)
  await page.goto('about:blank')
  await page.goto(link)
  await page.locator('.detail', { hasText: 'no policy of' }).waitFor()
  await page.screenshot({ path: `${env.screens}/refusal-1280-light.png` })
  assert.deepEqual(faults, [])
  await context.close()
})

test('a long record is read page by page, and its chain is verified', async () => {
  const { page, context, faults } = await login(chrome)
  const policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] })
  await page.evaluate(async (policy) => {
    for (let i = 0; i < 120; i++) await fetch('/v1/policy/lint', { method: 'POST', body: policy })
  }, policy)
  await open(page, '/identity/audit?kind=decision', '.records td')
  const numbers = () => page.locator('.records tbody tr button').evaluateAll((all) => all.map((b) => Number(b.getAttribute('aria-label').slice(7))))
  const first = await numbers()
  assert.equal(first.length, 100)
  await page.getByRole('link', { name: 'Older' }).click()
  await page.waitForFunction((n) => Number(document.querySelector('.records tbody button')?.getAttribute('aria-label').slice(7)) < n, first.at(-1))
  const second = await numbers()
  assert.ok(second[0] < first.at(-1), `${second[0]} after ${first.at(-1)}`)
  await page.goBack()
  await page.waitForFunction(() => !location.search.includes('before'))
  await page.locator('.chain .status.good').waitFor()
  assert.match(await page.locator('.chain').textContent(), /records as they were written/)
  assert.deepEqual(faults, [])
  await context.close()
})
