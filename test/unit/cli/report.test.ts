import { stripVTControlCharacters } from 'node:util'
import { expect, it } from 'vitest'
import type { Performance } from '../../../src/cli/demo/play.ts'
import { report } from '../../../src/cli/demo/report.ts'

const play = async (): Promise<void> => undefined
const performance: Performance = {
  lines: ['checkout queues="orders" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA'],
  results: [
    {
      scenario: { what: 'good', expected: { how: 'handled', sender: 'a' }, play },
      actual: { how: 'handled', sender: 'a' },
    },
    {
      scenario: { what: 'bad', expected: { how: 'dead-lettered', code: 'key-unknown' }, play },
      actual: { how: 'handled', sender: 'a' },
    },
    {
      scenario: { what: 'other', expected: { how: 'dead-lettered', code: 'key-unknown' }, play },
      actual: { how: 'dead-lettered', code: 'key-revoked' },
    },
  ],
}

it('marks exactly what ended otherwise than it should, whether by its ending or its code', () => {
  const rows = report('broker', performance, false).split('\n')
  const marked = rows.filter((_, index) => rows[index + 1]?.includes('UNEXPECTED'))
  expect(marked.map((row) => row.trim().split(/\s+/)[0])).toEqual(['bad', 'other'])
})

it('says the same with and without colours', () => {
  const colored = report('broker', performance, true)
  expect(colored).toContain('\u001b[')
  expect(stripVTControlCharacters(colored)).toBe(report('broker', performance, false))
})
