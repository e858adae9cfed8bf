// Users consent to what their agents do with another service: from the agent's address over the provider's login
// back to the application, in a real browser.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { browser, env, patience } from './lib.mjs'

let chrome

before(async () => {
  mkdirSync(env.screens, { recursive: true })
  chrome = await browser()
})
after(() => chrome.close())

/** signedIn is a browser of its own, in which a user of the application is signed in. */
async function signedIn(user) {
  const context = await chrome.newContext()
  context.setDefaultTimeout(patience)
  const page = await context.newPage()
  const visited = []
  page.on('request', (r) => r.isNavigationRequest() && visited.push(r.url()))
  await page.goto(`${env.app}/sign-in?as=${user}`)
  return { context, page, visited }
}

/** consents goes to an agent's address and logs in at the provider. */
async function consents({ page }, address) {
  await page.goto(address)
  assert.equal(new URL(page.url()).origin, env.provider)
  await page.fill('#username', 'test-user@127.0.0.1')
  await page.fill('#password', 'verysecure')
  await page.click('button[type=submit]')
  await page.waitForURL((at) => at.href.startsWith(env.app + '/done'))
}

test('a user consents once, and nothing on the way can be used again', async () => {
  const ann = await signedIn('ann')
  await consents(ann, env.ann)
  assert.equal(await ann.page.textContent('h1'), 'Connected')
  await ann.page.screenshot({ path: `${env.screens}/consent-connected.png` })
  const home = new URL(ann.page.url())
  assert.equal(home.searchParams.get('session_id'), new URL(env.ann).searchParams.get('request_uri'))
  assert.equal(home.searchParams.get('code'), null) // which is between us and the provider

  const callback = ann.visited.find((at) => at.startsWith(env.callback))
  assert.ok(callback, ann.visited.join('\n'))
  for (const again of [callback, env.ann]) {
    const answer = await ann.page.goto(again)
    assert.equal(answer.status(), 403, again)
    assert.match(await ann.page.textContent('body'), /Invalid or expired session/)
  }
  await ann.context.close()
})

test('whoever lures another user to an address gets nothing', async () => {
  const bob = await signedIn('bob')
  await consents(bob, env.lure)
  assert.equal(await bob.page.textContent('h1'), 'Not connected')
  assert.match(await bob.page.textContent('p'), /AccessDeniedException: Invalid or expired session/)
  const home = bob.page.url()
  await bob.context.close()

  const mallory = await signedIn('mallory')
  const answer = await mallory.page.goto(home)
  assert.equal(answer.status(), 403)
  assert.equal(await mallory.page.textContent('h1'), 'Not connected')
  await mallory.context.close()
})
