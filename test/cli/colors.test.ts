import { execFileSync } from 'node:child_process'
import { beforeAll, describe, expect, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runShell, temporaryFolder } from './command.ts'

const hasScript = ((): boolean => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
})()

describe.skipIf(!hasScript)('colours', () => {
  beforeAll(() => builtProgram())

  it.each([
    ['are for a terminal', { TERM: 'xterm-256color' }, true],
    ['are not for one whose owner wants none', { TERM: 'xterm-256color', NO_COLOR: '1' }, false],
    ['are not for one that has none', { TERM: 'dumb' }, false],
  ])('%s', async (_, env, expected) => {
    await using place = await temporaryFolder()
    const line = [
      'queue-key-auth keygen s --queues q > authorized_keys 2>/dev/null',
      `export -f queue-key-auth; SHELL=$(command -v bash) script -qec "queue-key-auth can authorized_keys s q" /dev/null < /dev/null`,
    ].join('; ')
    const { stdout } = await runShell(line, { cwd: place.path, env })
    expect(stdout).toContain('authorized_keys:1')
    expect(stdout.includes('\u001b[')).toBe(expected)
  })
})
