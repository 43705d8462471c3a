import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { home, installed, nodeOf, run, runNode } from './programs.ts'
import { NODES } from './toolchains.ts'

const jest = (): string => installed('jest/bin/jest.js')

describe('Jest', () => {
  it.each(NODES)('loads every entry from plain JavaScript on Node %s', async (version) => {
    const { code, output } = await runNode('jest', [jest(), 'orders'], version)
    expect(output).toMatch(/Tests: +12 passed, 12 total/)
    expect(code).toBe(0)
  })

  it('loads both builds into one test with --experimental-vm-modules, and they work together', async () => {
    const args = ['--experimental-vm-modules', jest(), 'both', '--testMatch', '**/*.test.mjs']
    const { code, output } = await runNode('jest', args)
    expect(output).toMatch(/Tests: +2 passed, 2 total/)
    expect(code).toBe(0)
  })
})

describe('a project of `nest new`', () => {
  it('of NestJS 11: ts-jest, its end-to-end tests, and the compiled program', async () => {
    const unit = await runNode('nest-11', [jest()])
    expect(unit.output).toMatch(/Tests: +3 passed, 3 total/)
    const endToEnd = await runNode('nest-11', [jest(), '--config', 'test/jest-e2e.json'])
    expect(endToEnd.output).toMatch(/Tests: +1 passed, 1 total/)
    const compiled = await runNode('nest-11', [installed('typescript/bin/tsc'), '-p', 'tsconfig.build.json'])
    expect(compiled).toEqual({ code: 0, output: '' })
    const started = await runNode('nest-11', ['dist/main.js'], '20.19')
    expect(started).toEqual({ code: 0, output: expect.stringMatching(/^handled checkout: signed$/m) })
  })

  it('of before, with module: commonjs and moduleResolution: node', async () => {
    const { output } = await runNode('nest-11', [jest(), '--config', 'jest.nest-10.json'])
    expect(output).toMatch(/Tests: +3 passed, 3 total/)
  })

  // NestJS 12 consists of ES modules: Jest can `require` those from Node 24.9 on, as NestJS's own template wants it to.
  it('of NestJS 12: ts-jest, its end-to-end tests, and the compiled program', async () => {
    const node24 = (args: readonly string[]) => run('nest-12', nodeOf('24'), args, 'nest-12')
    const jest12 = ['--experimental-vm-modules', installed('jest/bin/jest.js', 'nest-12')]
    const unit = await node24(jest12)
    expect(unit.output).toMatch(/Tests: +3 passed, 3 total/)
    const endToEnd = await node24([...jest12, '--config', 'test/jest-e2e.json'])
    expect(endToEnd.output).toMatch(/Tests: +1 passed, 1 total/)
    const compiled = await node24([installed('typescript/bin/tsc', 'nest-12'), '-p', 'tsconfig.build.json'])
    expect(compiled).toEqual({ code: 0, output: '' })
    const started = await node24(['dist/main.js'])
    expect(started).toEqual({ code: 0, output: expect.stringMatching(/^handled checkout: signed$/m) })
  })
})

it('the test in docs/commonjs.md passes', async () => {
  const docs = await readFile(new URL('../../docs/commonjs.md', import.meta.url), 'utf8')
  const [, example] = /^```js\n(.*?)^```$/ms.exec(docs) ?? []
  await mkdir(join(home(), 'docs'), { recursive: true })
  await writeFile(join(home(), 'docs', 'package.json'), '{ "private": true, "jest": {} }')
  await writeFile(join(home(), 'docs', 'example.test.js'), example ?? '')
  const { code, output } = await runNode('docs', [jest()])
  expect(output).toMatch(/Tests: +1 passed, 1 total/)
  expect(code).toBe(0)
})
