import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runShell, steady, temporaryFolder } from './command.ts'

/**
 * A transcript is what a terminal shows: `$ `, a line for the shell, then the output line by line (`> ` stdout, `! ` stderr),
 * then `exit <code>`. The commands of a file run one after the other in one empty folder. Keys, fingerprints, tokens, the
 * version and whatever depends on the time of the day are written as `<key>` and the like. Lines before the first command
 * are for the reader. `vitest run test/cli -u` writes them anew; then read what changed.
 */

const folder = join(import.meta.dirname, 'transcripts')

describe('what the command says and how it exits', () => {
  beforeAll(() => builtProgram())

  it.each(readdirSync(folder))('%s', async (file) => {
    const path = join(folder, file)
    const [intro = '', ...commands] = readFileSync(path, 'utf8').split(/^(?=\$ )/m)
    expect(commands.length).toBeGreaterThan(0)
    await using place = await temporaryFolder()
    let actual = intro
    for (const command of commands) {
      const typed = command.slice(0, command.indexOf('\n'))
      const { exitCode, stdout, stderr } = await runShell(typed.slice(2), { cwd: place.path })
      actual += `${typed}\n${marked('>', stdout)}${marked('!', stderr)}exit ${exitCode}\n${command.endsWith('\n\n') ? '\n' : ''}`
    }
    await expect(actual).toMatchFileSnapshot(path)
  })
})

function marked(mark: string, output: string): string {
  if (output === '') return ''
  return steady(output)
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => `${mark} ${line}`.trimEnd())
    .join('\n')
    .concat('\n')
}
