import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runCommand, temporaryFolder } from './command.ts'

/**
 * A transcript is what a terminal shows: `$ queue-key-auth …`, then the output line by line (`> ` stdout, `! ` stderr),
 * then `exit <code>`. The commands of a file run one after the other in one empty folder. Keys, fingerprints and the
 * version are written as `<key>`, `<fingerprint>` and `<version>`. Lines before the first command are for the reader.
 * `vitest run test/cli -u` writes them anew; then read what changed.
 */

const folder = join(import.meta.dirname, 'transcripts')

describe('what the command says and how it exits', () => {
  beforeAll(() => builtProgram(), 60_000)

  it.each(readdirSync(folder))(
    '%s',
    async (file) => {
      const path = join(folder, file)
      const [intro = '', ...commands] = readFileSync(path, 'utf8').split(/^(?=\$ )/m)
      expect(commands.length).toBeGreaterThan(0)
      await using place = await temporaryFolder()
      let actual = intro
      for (const command of commands) {
        const typed = command.slice(0, command.indexOf('\n'))
        const [name, ...args] = wordsOf(typed.slice(2))
        expect(name).toBe('queue-key-auth')
        const { exitCode, stdout, stderr } = await runCommand(args, { cwd: place.path })
        actual += `${typed}\n${marked('>', stdout)}${marked('!', stderr)}exit ${exitCode}\n${command.endsWith('\n\n') ? '\n' : ''}`
      }
      await expect(actual).toMatchFileSnapshot(path)
    },
    60_000,
  )
})

/** A command line's words; double quotes hold one together. */
function wordsOf(line: string): string[] {
  return Array.from(line.matchAll(/"([^"]*)"|\S+/g), ([word, quoted]) => quoted ?? word)
}

function marked(mark: string, output: string): string {
  if (output === '') return ''
  return steady(output)
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => `${mark} ${line}`.trimEnd())
    .join('\n')
    .concat('\n')
}

function steady(output: string): string {
  return output
    .replace(/\bAAAA[A-Za-z0-9+/]+={0,2}/g, '<key>')
    .replace(/SHA256:[A-Za-z0-9+/]{43}/g, 'SHA256:<fingerprint>')
    .replace(/^\d+\.\d+\.\d+$/gm, '<version>')
}
