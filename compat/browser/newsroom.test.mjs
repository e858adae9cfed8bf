// The trajectory of a run of the newsroom, as a person sees it; its screens are left behind.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { browser, env, login, open } from './lib.mjs'

let chrome
before(async () => (chrome = await browser()))
after(() => chrome.close())

for (const colorScheme of ['light', 'dark'])
  test(`supervisor, research, writer and reviewer are connected steps, ${colorScheme}`, async () => {
    const { page, context, faults } = await login(chrome, { colorScheme, viewport: { width: 1280, height: 900 } })
    await open(page, `/traces/${env.trace}?view=Trajectory`, '.card')
    await page.waitForSelector('.react-flow__edge', { state: 'attached' })
    await page.screenshot({ path: `${env.screens}/newsroom-${colorScheme}.png` })
    assert.deepEqual(await page.locator('.lane b').allTextContents(), ['interface_supervisor', 'researchAgent', 'articleWritingAgent', 'articleReviewerAgent'])
    const ways = await page.evaluate(() => ['call', 'turn', 'loop'].map((way) => document.querySelectorAll('.react-flow__edge.' + way).length))
    assert.deepEqual(ways, [2, 1, 0], 'two agents are called, and the writer hands to the reviewer')
    const cards = await page.locator('.card').allTextContents()
    assert.ok(cards.filter((c) => /tok$/.test(c)).length >= 5, 'cards of models, with tokens: ' + cards)
    assert.ok(cards.some((c) => c.includes('retrieval')), 'what was looked up: ' + cards)
    const cut = await page.evaluate(() => [...document.querySelectorAll('.card .num')].filter((n) => n.scrollWidth > n.clientWidth + 1 && n.clientWidth > 0).length)
    assert.equal(cut, 0, 'figures that are cut')
    assert.deepEqual(faults, [])
    await context.close()
  })
