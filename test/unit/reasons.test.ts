import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { RejectedError } from '../../src/errors.ts'
import { DEFER_CODES, dispositionOf, REJECT_CODES, SKIP_CODES } from '../../src/reasons.ts'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** The codes at the beginnings of the rows of each section's table. */
function documented(): Map<string, string[]> {
  const sections = read('docs/reasons.md').split(/^## /m).slice(1)
  return new Map(
    sections.map((section) => [
      section.slice(0, section.indexOf('\n')).split(/[: ]/)[0] as string,
      [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code as string),
    ]),
  )
}

describe('docs/reasons.md', () => {
  it('lists every reason code under its disposition, and no other, in the order of the source', () => {
    expect(Object.fromEntries(documented())).toEqual({
      Rejected: [...REJECT_CODES],
      Deferred: [...DEFER_CODES],
      Skipped: [...SKIP_CODES],
      Errors: [...read('src/errors.ts').matchAll(/^ {2}\| '([a-z-]+)'/gm)].map(([, code]) => code),
    })
  })

  it('says something in every column', () => {
    const rows = read('docs/reasons.md').match(/^\| `.*$/gm) ?? []
    expect(rows.length).toBeGreaterThan(40)
    expect(
      rows.filter((row) =>
        row
          .split('|')
          .slice(1, -1)
          .some((cell) => cell.trim() === ''),
      ),
    ).toEqual([])
  })
})

describe('dispositions', () => {
  it('every code has one, once', () => {
    for (const [codes, disposition] of [
      [REJECT_CODES, 'reject'],
      [DEFER_CODES, 'defer'],
      [SKIP_CODES, 'skip'],
    ] as const) {
      for (const code of codes) expect([code, new RejectedError(code, '').disposition]).toEqual([code, disposition])
    }
    const all = [...REJECT_CODES, ...DEFER_CODES, ...SKIP_CODES]
    expect(new Set(all).size).toBe(all.length)
    for (const text of ['', 'token', '__proto__', 'toString']) expect(dispositionOf(text)).toBeUndefined()
  })
})
