import { describe, expect, it } from 'vitest'
import { parseLines } from '../../../src/authorized-keys/lines.ts'
import { planRotation } from '../../../src/cli/rotation/plan.ts'
import { testKey } from '../authorized-keys/keys.ts'

const NOW = Date.parse('2026-06-15T00:00Z') / 1000
const DAY = 86_400
const [a, b, c] = [testKey(), testKey(), testKey()]

function planOf(lines: readonly string[], revoked: string[] = [], old?: string): ReturnType<typeof planRotation> {
  const allows = parseLines(lines.join('\n'), 'f')
  const options = { service: 's', maxAgeSeconds: 7 * DAY, now: NOW, old }
  return planRotation(allows, (key) => revoked.includes(key.fingerprint), options)
}

function dueOf(...args: Parameters<typeof planOf>): string {
  const { due } = planOf(...args)
  if (due.what === 'wait') return `wait until ${new Date(due.until * 1000).toISOString().slice(0, 16)}`
  const lines = due.what === 'add' ? due.like : due.lines
  return `${due.what} ${lines.map(({ line }) => line.position.line).join(',')}`
}

const line = (key: typeof a, end?: string, service = 's'): string =>
  `${service} queues="x"${end === undefined ? '' : `,valid-before="${end}"`} ${key.line}`

describe('the step of a rotation that is due', () => {
  it.each([
    ['one key', [line(a)], 'add 1'],
    ['two keys without an end', [line(a), line(b)], 'retire 1'],
    ['an end to come', [line(a, '2026-06-16'), line(b)], 'wait until 2026-06-23T00:01'],
    ['an end that messages still wait for', [line(a, '2026-06-09'), line(b)], 'wait until 2026-06-16T00:01'],
    ['an end that no message waits for', [line(a, '2026-06-07'), line(b)], 'delete 1'],
    ['the last moment of waiting', [line(a, '2026-06-08'), line(b)], 'wait until 2026-06-15T00:01'],
    ['an old end beside a running rotation', [line(a, '2026-06-01'), line(b), line(c)], 'delete 1'],
    ['a key that ends, and no other', [line(a, '2026-07-01')], 'add 1'],
    ['a key that ended, and no other', [line(a, '2026-01-01')], 'add 1'],
    ['two lines of a key, one without an end', [line(a, '2026-01-01'), line(a)], 'add 1,2'],
    ['keys of other services', [line(a), line(b, undefined, 't')], 'add 1'],
  ])('%s: %s', (_, lines, expected) => {
    expect(dueOf(lines)).toBe(expected)
  })

  it('does not count revoked keys, and asks which of three is meant', () => {
    expect(dueOf([line(a), line(b)], [a.publicKey.fingerprint])).toBe('add 2')
    const refused = expect.objectContaining({ name: 'CommandError', exitCode: 1 })
    expect(() => dueOf([line(a)], [a.publicKey.fingerprint])).toThrow(refused)
    expect(() => dueOf([line(a), line(b), line(c)])).toThrow(refused)
    expect(() => dueOf([line(a), line(b)], [], 'SHA256:other')).toThrow(refused)
    expect(dueOf([line(a), line(b), line(c)], [], b.publicKey.fingerprint)).toBe('retire 2')
  })

  it('is the first that is not done, and what follows comes later', () => {
    const states = (lines: readonly string[]): string =>
      planOf(lines)
        .steps.map(({ state }) => state)
        .join(' ')
    expect(states([line(a)])).toBe('due later later later later')
    expect(states([line(a), line(b)])).toBe('done due due due later')
    expect(states([line(a, '2026-06-16'), line(b)])).toBe('done done done done later')
    expect(states([line(a, '2026-06-01'), line(b)])).toBe('done done done done due')
  })
})
