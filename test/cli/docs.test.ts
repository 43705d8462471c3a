import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { RULES } from '../../src/cli/check/finding.ts'
import { builtProgram } from '../built.ts'
import { runCommand } from './command.ts'

const path = join(import.meta.dirname, '..', '..', 'docs', 'cli.md')

describe('docs/cli.md', () => {
  beforeAll(() => builtProgram())

  it('shows the help of every command as it is', async () => {
    const run = async (args: string): Promise<string> =>
      (await runCommand(args.split(' '), { cwd: import.meta.dirname })).stdout
    let text = readFileSync(path, 'utf8')
    const shown = Array.from(
      text.matchAll(/^```\n\$ queue-key-auth (.*--help)\n[^`]*^```$/gm),
      ([block, args = '']) => ({
        block,
        args,
      }),
    )
    for (const { block, args } of shown) {
      const help = (await run(args)).trimEnd().replaceAll(/^ +$/gm, '')
      text = text.replace(block, () => `\`\`\`\n$ queue-key-auth ${args}\n${help}\n\`\`\``)
    }
    await expect(text).toMatchFileSnapshot(path)
    const [, commands = ''] = /^Commands:\n((?: {2}.*\n)+)/m.exec(await run('--help')) ?? []
    const names = Array.from(commands.matchAll(/^ {2}([a-z][a-z-]+)/gm), ([, name]) => `${name} --help`)
    expect(names.length).toBeGreaterThan(10)
    expect(shown.map(({ args }) => args).sort()).toEqual(['--help', ...names].sort())
  })

  it('lists every rule of check', () => {
    const rows = Array.from(
      readFileSync(path, 'utf8').matchAll(/^\| `([a-z-]+)` \| (?:error|warning) \|/gm),
      ([, rule]) => rule,
    )
    expect(rows).toEqual([...RULES])
  })
})
