// The trajectory of a desk of agents that all have their framework's name, as a person sees it; its screens are left behind.
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
    assert.deepEqual(await page.locator('.lane b').allTextContents(), ['Strands Agents', 'researchAgent', 'articleWritingAgent', 'articleReviewerAgent'])
    const ways = await page.evaluate(() => ['call', 'turn', 'loop'].map((way) => document.querySelectorAll('.react-flow__edge.' + way).length))
    assert.deepEqual(ways, [3, 1, 1], 'three agents are called, the writer hands to the reviewer, and gets it back')
    assert.deepEqual(await page.locator('.react-flow__edge-text').allTextContents(), ['×2'])
    const cards = await page.locator('.card').allTextContents()
    assert.equal(cards.filter((c) => /demo model.*tok$/.test(c)).length, 10, 'cards of models, with tokens: ' + cards)
    const outside = await page.evaluate(() => {
      const box = document.querySelector('.graph').getBoundingClientRect()
      return [...document.querySelectorAll('.card')].filter((c) => c.getBoundingClientRect().right > box.right || c.getBoundingClientRect().bottom > box.bottom).length
    })
    assert.equal(outside, 0, 'cards that are not on the page')
    const cut = await page.evaluate(() => [...document.querySelectorAll('.card .num')].filter((n) => n.scrollWidth > n.clientWidth + 1 && n.clientWidth > 0).length)
    assert.equal(cut, 0, 'figures that are cut')
    await page.screenshot({ path: `${env.screens}/desk-${colorScheme}.png` })
    assert.deepEqual(faults, [])
    await context.close()
  })
