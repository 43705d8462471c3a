import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const text = readFileSync(join(root, 'SECURITY.md'), 'utf8')
const named = [...text.matchAll(/`(test\/[\w./-]+\.ts)`/g)].map(([, path]) => path as string)

it('SECURITY.md names tests that exist', () => {
  expect(named.length).toBeGreaterThan(25)
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

it('each attacker of SECURITY.md has a test', () => {
  const rows = text.split('\n').filter((line) => /^\| (?!attacker|---)[^|]+\|[^|]+\|[^|]+\|$/.test(line))
  const attackers = rows.filter((row) => row.includes('`test/'))
  expect(attackers.length).toBeGreaterThanOrEqual(11)
})
