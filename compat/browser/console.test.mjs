// The console in a real browser, over what real agents did.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import test, { after, before } from 'node:test'
import { browser, env, login, open, settled, views } from './lib.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
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

/** serious lists what axe finds that keeps people out. Scripts of a test are not under the page's policy. */
async function serious(page) {
  await page.evaluate(axe)
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join('; ')}`)
}
