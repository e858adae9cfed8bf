// Compresses what vite built, once and the same way every time, and notes what it was built from, so
// that the tests can tell when dist is stale.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const dist = '../internal/console/dist'
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue
  const name = `${entry.parentPath}/${entry.name}`
  writeFileSync(`${name}.gz`, gzipSync(readFileSync(name), { level: 9 }))
  rmSync(name)
}

const sources = ['index.html', 'package-lock.json', 'vite.config.ts', 'tsconfig.json', 'seal.mjs']
for (const folder of ['src', 'public'])
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sources.push(`${entry.parentPath}/${entry.name}`)
const hash = createHash('sha256')
for (const name of sources.sort()) hash.update(`${name}\n${createHash('sha256').update(readFileSync(name)).digest('hex')}\n`)
writeFileSync(`${dist}/SOURCE`, `${hash.digest('hex')}\n`)
