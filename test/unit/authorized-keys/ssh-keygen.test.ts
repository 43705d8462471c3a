import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { QueuePatterns } from '../../../src/authorized-keys/patterns.ts'

const CASES = 150
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'signers-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/**
 * The principals of an allowed_signers file are patterns, too: `*` there is our `**`, and `?`, `!`, commas and everything
 * else mean the same. Our `*` has no counterpart.
 */
describe.skipIf(spawnSync('ssh-keygen', ['-?']).error !== undefined)('ssh-keygen -Y verify', () => {
  it(`agrees on ${CASES} lists of patterns`, () => {
    const run = (...args: string[]): void => void execFileSync('ssh-keygen', args, { cwd: folder, stdio: 'ignore' })
    run('-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', 'key')
    writeFileSync(join(folder, 'message'), 'signed')
    run('-Y', 'sign', '-n', 'queue', '-f', 'key', 'message')
    const publicKey = readFileSync(join(folder, 'key.pub'), 'utf8').trim()
    const agrees = (patterns: readonly string[], name: string): boolean => {
      const principals = patterns.map((pattern) => pattern.replaceAll('**', '*')).join(',')
      writeFileSync(join(folder, 'signers'), `${principals} namespaces="queue" ${publicKey}\n`)
      const args = ['-Y', 'verify', '-f', 'signers', '-I', name, '-n', 'queue', '-s', 'message.sig']
      return spawnSync('ssh-keygen', args, { cwd: folder, input: 'signed' }).status === 0
    }
    const part = fc.constantFrom('a', 'b', '.', '/', ':', '-', '?', '**', 'ab', 'orders')
    const word = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('').replace(/\*{3,}/g, '**'))
    const pattern = fc.tuple(fc.constantFrom('', '', '!'), word).map((parts) => parts.join(''))
    const list = fc
      .array(pattern, { minLength: 1, maxLength: 4 })
      .filter((all) => all.some((text) => !text.startsWith('!')))
    const name = fc
      .array(fc.constantFrom('a', 'b', '.', '/', ':', '-', 'ab', 'orders'), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join(''))
      // what begins with a dash is an option of the command
      .filter((text) => !text.startsWith('-'))
    const answers = { yes: 0, no: 0 }
    fc.assert(
      fc.property(list, name, fc.boolean(), (patterns, text, fitting) => {
        // A name made from a pattern, or hardly any would match.
        const made = (patterns[0] as string).replace(/^!/, '').replaceAll('**', 'a.b').replaceAll('?', 'b')
        const queue = fitting && !made.startsWith('-') ? made : text
        const expected = agrees(patterns, queue)
        answers[expected ? 'yes' : 'no']++
        expect(QueuePatterns.parse(patterns).matches(queue)).toBe(expected)
      }),
      { numRuns: CASES },
    )
    expect(Math.min(answers.yes, answers.no)).toBeGreaterThan(CASES / 10)
  })
})
