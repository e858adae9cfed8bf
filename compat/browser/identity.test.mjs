// The console's pages of identity: who may do what, and who did what.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
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
  await page.waitForURL(/caller=.*action=/) // what is typed counts a moment later
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

/** signs says what becomes of a call that is signed with a key. */
const signs = (id, secret) => {
  try {
    execFileSync(env.bin, ['status', '--all', '--endpoint', env.endpoint], { stdio: 'pipe', env: { ...process.env, AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } })
    return 'may'
  } catch (e) {
    return String(e.stderr).includes('not authorized') ? 'may not' : 'is nobody'
  }
}

test('an access key is made, shown once, disabled and deleted', async () => {
  const { page, context, faults } = await login(chrome)
  const asked = []
  page.on('dialog', (d) => (asked.push(d.message()), d.accept()))
  await open(page, `/identity/users?q=${env.limited}`, 'tbody a')
  await page.getByRole('link', { name: env.limited }).click()
  await page.getByRole('button', { name: 'Create a key' }).click()
  await page.locator('.once').waitFor()
  await page.screenshot({ path: `${env.screens}/once-1280-light.png` })
  const [id, secret] = await page.locator('.once dd').allTextContents()
  assert.equal(signs(id, secret), 'may not') // it has no policy, but it is somebody
  await page.getByRole('button', { name: 'I have it' }).click()
  await page.reload()
  const row = page.locator('tr', { hasText: id })
  await row.waitFor()
  assert.doesNotMatch(await page.content(), new RegExp(secret.replace(/[+/]/g, '.')))
  assert.equal(await page.getByRole('button', { name: 'Create a key' }).isDisabled(), true) // two are the most
  await row.getByRole('button', { name: 'Disable' }).click()
  await row.getByText('disabled').waitFor()
  assert.equal(signs(id, secret), 'is nobody')
  await row.getByRole('button', { name: 'Enable' }).click()
  await row.getByText('active').waitFor()
  await row.getByRole('button', { name: 'Delete' }).click()
  await row.waitFor({ state: 'detached' })
  assert.equal(signs(id, secret), 'is nobody')
  assert.deepEqual(asked.map((q) => q.split(' ')[0]), ['Disable', 'Delete'])
  await open(page, `/identity/audit?kind=change&q=${env.limited}`, '.records td')
  const done = (await page.locator('.records tbody tr td:nth-child(2)').allTextContents()).map((t) => t.split(' ')[0])
  assert.deepEqual(done.slice(0, 4), ['DeleteAccessKey', 'UpdateAccessKey', 'UpdateAccessKey', 'CreateAccessKey'])
  assert.deepEqual(faults, [])
  await context.close()
})

test('an API key is made, shown once, calls its runtime and is revoked', async () => {
  const { page, context, faults } = await login(chrome)
  page.on('dialog', (d) => d.accept())
  await open(page, `/identity/keys?runtime=${env.runtime}`, 'main .panel')
  await page.getByRole('button', { name: 'Create a key' }).click()
  await page.getByLabel('What it is for').fill('<b>shop</b>')
  await page.getByRole('button', { name: 'Create', exact: true }).click()
  const key = await page.locator('.once dd').textContent()
  const calls = async () => (await fetch(`${env.endpoint}/runtimes/${encodeURIComponent(env.arn)}/invocations`, { method: 'POST', headers: { Authorization: 'Bearer ' + key }, body: '{"op":"state"}' })).status
  assert.equal(await calls(), 200)
  await page.reload()
  const row = page.locator('tr', { hasText: '<b>shop</b>' })
  await row.waitFor()
  assert.equal((await page.content()).includes(key), false)
  await row.getByRole('button', { name: 'Revoke' }).click()
  await row.waitFor({ state: 'detached' })
  assert.equal(await calls(), 401)
  assert.deepEqual(faults, [])
  await context.close()
})

test('a page of another origin changes nothing with the login', async () => {
  const { page, context } = await login(chrome)
  const cookie = (await context.cookies()).map((c) => `${c.name}=${c.value}`).join('; ')
  for (const from of [{ 'Sec-Fetch-Site': 'cross-site' }, { 'Sec-Fetch-Site': 'same-site' }, { Origin: 'https://attacker.example' }, {}])
    for (const [method, path] of [['POST', `/v1/users/${env.limited}/access-keys`], ['DELETE', `/v1/users/${env.limited}/access-keys/${env.limitedId}`], ['POST', `/v1/runtimes/${env.runtime}/keys`]]) {
      const answer = await fetch(env.endpoint + path, { method, headers: { Cookie: cookie, ...from } })
      assert.equal(answer.status, 403, `${method} ${path} from ${JSON.stringify(from)}`)
    }
  await page.close()
  await context.close()
})

test('a question to the policies is answered with the statements that decided, and a refusal is explained by its id', async () => {
  const { page, context, faults } = await login(chrome)
  await open(page, '/identity/policies', '.code')
  await page.getByLabel('Who').fill(env.limitedArn)
  await page.getByLabel('Does').fill('bedrock-agentcore:InvokeAgentRuntime')
  await page.getByLabel('On', { exact: true }).fill(env.arn)
  await page.getByRole('button', { name: 'Try' }).click()
  await page.locator('.notice', { hasText: 'refused' }).waitFor()
  await page.getByLabel('Who').fill(env.limitedArn.replace(/user.*/, 'user/admin'))
  await page.getByRole('button', { name: 'Try' }).click()
  const verdict = page.locator('.notice', { hasText: 'allowed' })
  await verdict.getByText('AdministratorAccess').last().waitFor()
  await page.reload() // the address has the question
  await verdict.waitFor()
  const answer = await fetch(env.endpoint + '/console/login', { method: 'POST', headers: { 'Sec-Fetch-Site': 'same-origin' }, body: JSON.stringify({ accessKeyId: env.limitedId, secretAccessKey: env.limitedSecret }) })
  const refused = await fetch(env.endpoint + '/v1/principals', { headers: { Cookie: answer.headers.get('set-cookie').split(';')[0] } })
  assert.equal(refused.status, 403)
  await page.getByLabel('Request id').fill(refused.headers.get('x-amzn-requestid'))
  await page.getByRole('button', { name: 'Explain' }).click()
  await page.getByText(`no policy of ${env.limitedArn} allows iam:GetAccountAuthorizationDetails`).waitFor()
  await page.screenshot({ path: `${env.screens}/explained-1280-light.png` })
  assert.deepEqual(faults, [])
  await context.close()
})

test('the vault shows what agents have credentials for, and no secret', async () => {
  const { page, context, faults } = await login(chrome)
  const seen = []
  page.on('response', async (r) => r.url().includes('/v1/') && !r.url().includes('/tail') && seen.push(await r.text().catch(() => '')))
  await open(page, '/identity/providers', 'tbody tr')
  await page.getByText('sealed under the server’s own key').waitFor()
  await page.locator('tr', { hasText: env.provider }).getByRole('button').click()
  await page.locator('.detail').getByText('api.weather.example/v1/').waitFor()
  assert.match(page.url(), /provider=apikey/)
  assert.ok(seen.some((text) => text.includes(env.provider)) && !seen.some((text) => text.includes('canary')))
  assert.deepEqual(faults, [])
  await context.close()
})
