// The console in a real browser, over what real agents did.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import test, { after, before } from 'node:test'
import { browser, env, login, open, patience, serious, settled, views } from './lib.mjs'

const widths = [360, 1280, 2560]
let chrome

before(async () => {
  mkdirSync(env.screens, { recursive: true })
  chrome = await browser()
})
after(() => chrome.close())

for (const colorScheme of ['light', 'dark'])
  test(`every view, ${colorScheme}`, async (t) => {
    const { page, context, faults } = await login(chrome, { colorScheme })
    for (const [name, [path, wanted]] of Object.entries(views))
      await t.test(name, async () => {
        await page.setViewportSize({ width: 1280, height: 800 })
        await open(page, path, wanted)
        for (const width of widths) {
          await page.setViewportSize({ width, height: { 360: 740, 1280: 800, 2560: 1300 }[width] })
          await settled(page)
          await page.screenshot({ path: `${env.screens}/${name}-${width}-${colorScheme}.png` })
          const wide = await page.evaluate(() => [document.documentElement, document.querySelector('main')].map((e) => e.scrollWidth - e.clientWidth))
          assert.deepEqual(wide, [0, 0], `at ${width} px, so many pixels of the page and of its main part are out of sight`)
        }
        await page.setViewportSize({ width: 1280, height: 800 })
        assert.deepEqual(await serious(page), [])
        assert.deepEqual(faults.splice(0), [])
      })
    await context.close()
  })

test('logging in', async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const context = await chrome.newContext({ colorScheme, viewport: { width: 360, height: 740 } })
    context.setDefaultTimeout(patience)
    const page = await context.newPage()
    await page.goto(env.endpoint + '/console/traces/' + env.trace)
    await page.waitForSelector('.login')
    await page.screenshot({ path: `${env.screens}/login-360-${colorScheme}.png` })
    await t.test(colorScheme, async () => assert.deepEqual(await serious(page), []))
    await page.getByLabel('Access key').first().fill('AKIANOBODYNOBODY0000')
    await page.getByLabel('Secret').fill('wrong')
    await page.keyboard.press('Enter')
    await page.waitForSelector('[role=alert]')
    await page.getByLabel('Access key').first().fill(env.keyId)
    await page.getByLabel('Secret').fill(env.secret)
    await page.keyboard.press('Enter')
    await page.waitForSelector('.span-row') // where the link led to
    await context.close()
  }
})

test('a link restores what was looked at', async () => {
  const { page, context, faults } = await login(chrome)
  await open(page, `/traces/${env.trace}`, '.span-row')
  await page.getByPlaceholder('Filter spans').fill('chat')
  await page.locator('.span-row', { hasText: 'chat nova-lite' }).first().click()
  await page.getByRole('tab', { name: 'Attributes' }).click()
  const times = await page.locator('.axis .times').boundingBox()
  await page.mouse.move(times.x + times.width * 0.25, times.y + 10)
  await page.mouse.down()
  await page.mouse.move(times.x + times.width * 0.75, times.y + 10, { steps: 4 })
  await page.mouse.up()
  const seen = () => page.evaluate(() => [document.querySelector('.span-row.selected')?.id, document.querySelector('.tabs [aria-selected=true]')?.textContent, document.querySelector('.axis .times')?.textContent, document.querySelectorAll('.span-row').length])
  const before = await seen()
  const link = page.url()
  await page.goto('about:blank')
  await page.goto(link)
  await page.waitForSelector('.span-panel')
  await settled(page)
  assert.deepEqual(await seen(), before)
  assert.ok(/q=chat/.test(link) && /zoom=/.test(link) && /span=/.test(link) && /tab=Attributes/.test(link), link)
  assert.deepEqual(faults, [])
  await context.close()
})

test('of hundreds of spans, what matters shows', async () => {
  const { page, context, faults } = await login(chrome)
  await page.setViewportSize({ width: 1280, height: 2000 })
  await open(page, `/traces/${env.trace}`, '.span-row')
  assert.match(await page.locator('.summary').textContent(), /\+825 noise/)
  const rows = await page.locator('.span-row').count()
  assert.ok(rows > 25 && rows < 60, `${rows} rows`)
  await page.getByRole('tab', { name: 'Trajectory' }).click()
  await page.waitForSelector('.react-flow__edge', { state: 'attached' })
  const lanes = await page.locator('.lane b').allTextContents()
  assert.deepEqual(lanes, ['supervisor', 'researchAgent', 'articleWritingAgent', 'articleReviewerAgent'])
  const lost = await page.evaluate(() => {
    const ends = new Set([...document.querySelectorAll('.react-flow__edge')].flatMap((e) => e.dataset.id.split('>')))
    return [...document.querySelectorAll('.react-flow__node-step')].filter((n) => !ends.has(n.dataset.id)).map((n) => n.textContent)
  })
  assert.deepEqual(lost, [], 'steps that no line leads to or from')
  const heights = await page.evaluate(() => ['retrieve', 'web_search', 'http_request'].map((name) => [...document.querySelectorAll('.card')].find((c) => c.textContent.includes(name)).getBoundingClientRect().top))
  assert.equal(new Set(heights).size, 1, 'what ran at the same time stands side by side')
  const bright = () => page.evaluate(() => [...document.querySelectorAll('.card:not(.ahead)')].filter((c) => c.checkVisibility({ visibilityProperty: true })).length)
  const all = await bright()
  await page.getByRole('button', { name: 'Play', exact: true }).click()
  await page.waitForFunction((n) => [...document.querySelectorAll('.card')].filter((c) => c.checkVisibility({ visibilityProperty: true })).length === n && document.querySelector('.card.ahead') && document.querySelector('.card:not(.ahead)'), all)
  await page.waitForFunction(() => !document.querySelector('.card.ahead')) // it is over
  assert.deepEqual(faults, [])
  await context.close()
})

test('a runtime is looked at by one endpoint alone', async () => {
  const { page, context, faults } = await login(chrome)
  await open(page, `/runtimes/${env.runtime}`, '.u-over')
  const row = (name) => page.getByRole('region', { name: 'Endpoints' }).locator('tr', { hasText: name })
  await page.waitForFunction(() => Number(document.querySelector('[aria-label=Endpoints] tbody tr td:nth-child(3) .num')?.textContent) > 0)
  await row(env.endpointName).getByRole('button').click()
  await page.getByText('No session yet').waitFor()
  assert.match(page.url(), new RegExp('endpoint=' + env.endpointName))
  await page.waitForFunction(() => document.querySelector('.chart .legend output')?.textContent === '0')
  await page.getByRole('button', { name: 'All of them' }).click()
  await page.waitForFunction(() => Number(document.querySelector('.chart .legend output')?.textContent) > 0)
  assert.deepEqual(faults, [])
  await context.close()
})

test('what models took stands beside what they may take', async () => {
  const { page, context, faults } = await login(chrome)
  for (const [name, path, texts] of [
    ['budget-runtime', `/runtimes/${env.spender}`, [/Models today\d+ of 20\u2009000 tokens\$0 of \$5\.00/, /Each sessionat most 10 tokens, then calls to models are refused/]],
    ['budget-session', `/sessions/${env.spent}`, [/Budget\d+ of 10 tokens/, /This session’s budget is used up: calls to models are refused.*moorage:session-tokens/]],
  ]) {
    await open(page, path, '.meter')
    const said = await page.locator('main').textContent()
    for (const text of texts) assert.match(said, text)
    assert.deepEqual(await serious(page), [])
    await page.locator('.meter').first().scrollIntoViewIfNeeded()
    await page.screenshot({ path: `${env.screens}/${name}.png` })
  }
  assert.equal(await page.locator('.meter').first().getAttribute('aria-valuenow'), '100')
  await open(page, `/runtimes/${env.runtime}`, '.facts')
  assert.match(await page.locator('main').textContent(), /Models today0 tokensno budget; the tags moorage:daily-tokens and moorage:daily-dollars set one/)
  assert.deepEqual(faults, [])
  await context.close()
})

test('by the keyboard alone', async () => {
  const { page, context, faults } = await login(chrome)
  await page.keyboard.press('Control+k')
  await page.keyboard.type(env.trace.slice(0, 20))
  await page.waitForFunction((id) => document.querySelector('[role=option][aria-selected=true]')?.textContent.includes(id), env.trace)
  await page.keyboard.press('Enter')
  await page.waitForSelector('.span-row')
  await page.locator('.rows').focus()
  const selected = () => page.locator('.span-row.selected').textContent()
  await page.keyboard.press('ArrowDown')
  assert.match(await selected(), /InvokeAgentRuntime/)
  await page.keyboard.press('j')
  await page.keyboard.press('j')
  const rows = await page.locator('.span-row').count()
  await page.keyboard.press('k')
  await page.keyboard.press('k')
  await page.keyboard.press('f')
  await page.waitForFunction((n) => document.querySelectorAll('.span-row').length < n, rows)
  await page.keyboard.press('f')
  await page.keyboard.press('Escape')
  await page.waitForSelector('.span-panel', { state: 'detached' })
  await page.keyboard.press('/')
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Filter spans')
  await page.locator('.rows').focus()
  await page.keyboard.press('g')
  await page.keyboard.press('l')
  await page.waitForURL(/\/console\/logs/)
  await page.keyboard.press('?')
  await page.waitForSelector('dialog.keys')
  assert.deepEqual(faults, [])
  await context.close()
})

test('what agents write is text', async () => {
  const { page, context, faults } = await login(chrome)
  await open(page, `/traces/${env.hostile}?span=${env.hostileSpan}`, '.span-panel')
  await page.locator('.message.user').getByText('onerror').waitFor()
  for (const tab of ['Attributes', 'Events', 'Raw', 'Overview']) await page.getByRole('tab', { name: tab }).click()
  const made = await page.evaluate(() => [...document.querySelectorAll('main img, main iframe, main script, main [href^="javascript:"]')].map((e) => e.outerHTML))
  assert.deepEqual(made, [])
  assert.match(await page.locator('.span-panel').textContent(), /⟨202e⟩gnp\.exe/)
  assert.doesNotMatch(await page.locator('main').textContent(), /\u202e/)
  assert.notEqual(await page.title(), 'owned')
  assert.deepEqual(faults, [])
  await context.close()
})

test('the playground answers beside a growing trace, and spans show within a second', async () => {
  const { page, context, faults } = await login(chrome, { permissions: ['clipboard-read', 'clipboard-write'] })
  await open(page, `/play?runtime=${env.runtime}`, 'textarea')
  await page.locator('textarea').fill(JSON.stringify({ prompt: 'watch me', stream: true }))
  await page.evaluate(() => {
    globalThis.seen = {}
    new MutationObserver(() => document.querySelectorAll('.span-row').forEach((e) => (globalThis.seen[e.id.slice(5)] ??= Date.now()))).observe(document.body, { childList: true, subtree: true })
  })
  await page.getByRole('button', { name: 'Invoke', exact: true }).click()
  await page.waitForFunction(() => document.querySelector('.answer').textContent.includes('Draft 3'))
  await page.waitForFunction(() => document.querySelector('.span-row')?.textContent.includes('InvokeAgentRuntime'))
  await page.screenshot({ path: `${env.screens}/playing-1280-light.png` })
  const late = await page.evaluate(async () => {
    const trace = await (await fetch('/v1/traces/' + document.querySelector('.growing a').href.split('/').pop())).json()
    return trace.spans.filter((s) => s.scope === 'newsroom.framework' && globalThis.seen[s.spanId]).map((s) => globalThis.seen[s.spanId] - (Date.parse(trace.start) + s.offsetMs + s.durationMs)).sort((a, b) => a - b)
  })
  assert.ok(late.length > 8, `${late.length} spans were seen`)
  const limit = process.env.MOORAGE_SLOW ? 1000 : 15_000 // the goal is for a machine that does nothing else
  assert.ok(late[Math.floor(late.length * 0.9)] < limit, `the agents' spans were seen ${late} ms after their end`)
  console.log(`# spans were on the page ${late.map((ms) => ms.toFixed(0)).join(', ')} ms after their end`)
  await page.getByLabel('Copy as curl').click()
  const said = execFileSync('bash', ['-c', await page.evaluate(() => navigator.clipboard.readText())], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, AWS_ACCESS_KEY_ID: env.keyId, AWS_SECRET_ACCESS_KEY: env.secret } })
  assert.match(said, /Draft|NeuraHealth/)
  assert.deepEqual(faults, [])
  await context.close()
})

test('the playground speaks the protocol of the agent', async () => {
  const { page, context, faults } = await login(chrome)
  await open(page, `/play?runtime=${env.runtime}`, 'textarea')
  await page.getByLabel('Runtime').selectOption(env.mcp)
  await page.waitForFunction(() => document.querySelector('textarea').value.includes('tools/list'))
  await page.getByRole('button', { name: 'Invoke', exact: true }).click()
  await page.waitForFunction(() => /inputSchema/.test(document.querySelector('.answer').textContent))
  assert.deepEqual(faults, [])
  await context.close()
})

test('a server that does not answer is said to', async () => {
  const { page, context } = await login(chrome)
  await page.route('**/v1/traces*', (route) => route.abort())
  await page.goto(env.endpoint + '/console/traces')
  await page.getByText('The server does not answer').waitFor()
  await page.screenshot({ path: `${env.screens}/unreachable-1280-light.png` })
  await page.unroute('**/v1/traces*')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.waitForSelector('tbody a')
  assert.equal(await page.locator('[role=alert]').count(), 0)
  await context.close()
})
