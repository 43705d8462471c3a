import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { outcomes, STEPS } from '../../../src/cli/messages/steps.ts'
import { REASON_TEXTS } from '../../../src/cli/reason-texts.ts'
import { DEFER_CODES, REJECT_CODES, SKIP_CODES } from '../../../src/reasons.ts'

const CODES = [...REJECT_CODES, ...DEFER_CODES, ...SKIP_CODES]

it('says of every code what docs/reasons.md says', () => {
  const docs = readFileSync(new URL('../../../docs/reasons.md', import.meta.url), 'utf8')
  const rows = Array.from(docs.matchAll(/^\| `([a-z-]+)` \| (.*?) \| (.*?) \| (.*?) \|$/gm), ([, code, ...texts]) => [
    code,
    texts.map((text) => text.replaceAll('`', '').replace('–', '')),
  ])
  expect(Object.entries(REASON_TEXTS)).toEqual(rows)
})

it('knows the check that gives each code, and no code twice', () => {
  expect(STEPS.flatMap(({ codes }) => codes).sort()).toEqual([...CODES].sort())
})

it.each(REJECT_CODES.filter((code) => code !== 'token-id-reused'))(
  '%s: one check failed, and none behind it was done',
  (code) => {
    const result = outcomes({ outcome: 'rejected', code, detail: '' }, 'x')
    const failed = result.indexOf('failed')
    expect(STEPS[failed]?.codes).toContain(code)
    expect(result).toEqual(
      STEPS.map((_, index) => (index < failed ? 'ok' : index === failed ? 'failed' : 'not looked at')),
    )
  },
)

it('tells the algorithm of the key from that of the line, and no text from a bad one', () => {
  const wrongAlgorithm = { outcome: 'rejected', code: 'alg-not-allowed', detail: '' } as const
  expect(outcomes(wrongAlgorithm, 'x').indexOf('failed')).toBe(3)
  expect(outcomes({ ...wrongAlgorithm, fingerprint: 'SHA256:x' }, 'x').indexOf('failed')).toBe(5)
  expect(outcomes({ outcome: 'rejected', code: 'token-malformed', detail: '' }, null).indexOf('failed')).toBe(0)
})
