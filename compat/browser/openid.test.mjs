// Logging in to the console by an OpenID provider, in a real browser: who is let in, as whom, and who is not.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { browser, env, patience, serious } from './lib.mjs'

let chrome

before(async () => {
  mkdirSync(env.screens, { recursive: true })
  chrome = await browser()
})
after(() => chrome.close())

async function visitor(options = {}) {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options })
  context.setDefaultTimeout(patience)
  const faults = []
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI)))
  const page = await context.newPage()
  page.on('console', (m) => /^CSP/.test(m.text()) && faults.push(m.text()))
  page.on('pageerror', (e) => faults.push(String(e.stack)))
  return { page, context, faults }
}

/** signIn is what a person does at the provider. */
async function signIn(page, name, password = env.password) {
  await page.getByRole('link', { name: 'Log in with ' + env.provider }).click()
  await page.locator('#username').fill(name)
  await page.locator('#password').fill(password)
  await page.locator('button[type=submit], button').first().click()
}

const me = (page) => page.evaluate(async () => (await fetch('/console/me')).json())

test('the login page offers the provider', async (t) => {
  for (const colorScheme of ['light', 'dark'])
    await t.test(colorScheme, async () => {
      const { page, context, faults } = await visitor({ colorScheme })
      await page.goto(env.endpoint + '/console/')
      await page.getByRole('link', { name: 'Log in with ' + env.provider }).waitFor()
      for (const width of [360, 1280]) {
        await page.setViewportSize({ width, height: 740 })
        await page.screenshot({ path: `${env.screens}/openid-${env.kind}-${width}-${colorScheme}.png` })
      }
      assert.deepEqual(await serious(page), [])
      assert.deepEqual(faults, [])
      await context.close()
    })
})

test('a person whom a grant fits is who it says, where they wanted to go, until they log out', async () => {
  const { page, context, faults } = await visitor()
  await page.goto(env.endpoint + '/console/identity/users?kind=user')
  await signIn(page, env.known)
  await page.waitForSelector('.rail')
  assert.match(page.url(), /\/console\/identity\/users\?kind=user$/)
  assert.match((await me(page)).arn, new RegExp(env.becomes))
  await page.locator('main tbody a, main [role=alert]').first().waitFor()
  await page.reload() // the session goes on
  await page.waitForSelector('.rail')
  const cookie = (await context.cookies()).find((c) => c.name === 'moorage_console')
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie))
  assert.equal((await context.cookies()).some((c) => c.name === 'moorage_console_login'), false)
  assert.equal(await page.evaluate(() => document.cookie), '')
  const asked = () => fetch(env.endpoint + '/console/me', { headers: { Cookie: `moorage_console=${cookie.value}` } }).then((r) => r.json())
  assert.match((await asked()).arn, new RegExp(env.becomes))
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('link', { name: 'Log in with ' + env.provider }).waitFor()
  assert.equal((await asked()).arn, '') // also of a copy of the cookie
  for (const at of [2, 12, cookie.value.length - 2]) {
    const changed = cookie.value.slice(0, at) + (cookie.value[at] === 'A' ? 'B' : 'A') + cookie.value.slice(at + 1)
    const answer = await fetch(env.endpoint + '/console/me', { headers: { Cookie: `moorage_console=${changed}` } })
    assert.equal((await answer.json()).arn, '')
  }
  assert.deepEqual(faults, [])
  await context.close()
})

test('who may little sees which right is missing', { skip: env.kind !== 'pool' }, async () => {
  const { page, context } = await visitor()
  await page.goto(env.endpoint + '/console/identity/audit')
  await signIn(page, env.known)
  await page.locator('main [role=alert] code', { hasText: 'moorage:ListAudit' }).waitFor()
  await page.goto(env.endpoint + '/console/identity/users/admin')
  await page.getByRole('button', { name: 'Create a key' }).click()
  await page.locator('main [role=alert] code', { hasText: 'iam:CreateAccessKey' }).waitFor()
  assert.equal(await page.locator('.once').count(), 0)
  await context.close()
})

test('a person whom no grant fits is refused, and told what to do', async () => {
  const { page, context, faults } = await visitor()
  await page.goto(env.endpoint + '/console/')
  await signIn(page, env.stranger)
  const said = page.locator('[role=alert]', { hasText: 'here you are nobody yet' })
  await said.waitFor()
  assert.match(await said.textContent(), /request [0-9a-f-]{36}/)
  await page.screenshot({ path: `${env.screens}/unmapped-${env.kind}-1280-light.png` })
  assert.equal((await me(page)).arn, '')
  assert.equal((await context.cookies()).some((c) => c.name === 'moorage_console'), false)
  assert.doesNotMatch(page.url(), /#/)
  assert.deepEqual(faults, [])
  await context.close()
})

test('an answer that was not asked for by this browser logs nobody in', async () => {
  const forged = await visitor()
  for (const query of ['code=stolen&state=forged', 'code=stolen', 'error=access_denied&state=', ''])  {
    await forged.page.goto(`${env.endpoint}/console/login/callback?${query}`)
    await forged.page.getByText('was not begun in this browser').waitFor()
  }
  // An attacker signs in, and has somebody else visit the answer, who has a login of their own on its way.
  const attacker = await visitor()
  const answered = attacker.page.waitForRequest(/login\/callback/)
  await attacker.page.goto(env.endpoint + '/console/')
  await signIn(attacker.page, env.known)
  const answer = (await answered).url()
  await forged.page.goto(env.endpoint + '/console/')
  await forged.page.getByRole('link', { name: 'Log in with ' + env.provider }).click()
  await forged.page.locator('#username').waitFor()
  await forged.page.goto(answer)
  await forged.page.getByText('was not begun in this browser').waitFor()
  assert.equal((await me(forged.page)).arn, '')
  await attacker.context.close()
  await forged.context.close()
})

test('an answer counts once, of the provider that was asked, and with the code that it gave', async () => {
  const begin = async () => {
    const begun = await fetch(env.endpoint + '/console/login/openid', { redirect: 'manual' })
    const asked = new URL(begun.headers.get('location')).searchParams
    assert.equal(asked.get('code_challenge_method'), 'S256')
    assert.ok(asked.get('nonce') && asked.get('state').length > 40)
    return { state: asked.get('state'), Cookie: begun.headers.get('set-cookie').split(';')[0] }
  }
  const back = async ({ Cookie }, query) => (await fetch(`${env.endpoint}/console/login/callback?${new URLSearchParams(query)}`, { redirect: 'manual', headers: { Cookie } })).headers.get('location')
  const mine = await begin()
  assert.match(await back(mine, { code: 'made-up', state: mine.state }), /login=refused/)
  assert.match(await back(mine, { code: 'made-up', state: mine.state, iss: 'https://attacker.example' }), /login=expired/)
  assert.match(await back(mine, { error: 'access_denied', state: mine.state }), /login=refused/)
  assert.match(await back({ Cookie: mine.Cookie.slice(0, -4) + 'AAAA' }, { code: 'made-up', state: mine.state }), /login=expired/)
  assert.match(await back(mine, { code: 'made-up', state: (await begin()).state }), /login=expired/)
})

test('the login leads to pages of this console only', { skip: env.kind !== 'pool' }, async () => {
  for (const to of ['//attacker.example/', '/console/../v1/info', '/console/\\attacker.example']) {
    const { page, context } = await visitor()
    await page.goto(`${env.endpoint}/console/login/openid?to=${encodeURIComponent(to)}`)
    await page.locator('#username').fill(env.known)
    await page.locator('#password').fill(env.password)
    await page.locator('button').first().click()
    await page.waitForSelector('.rail')
    assert.equal(new URL(page.url()).pathname, '/console/', to)
    await context.close()
  }
})
