import { describe, expect, it } from 'vitest'
import { installed, runNode } from './programs.ts'
import { NODES } from './toolchains.ts'

const HANDLED = { code: 0, output: expect.stringMatching(/^handled checkout$/m) }

describe.each(NODES)('Node %s', (version) => {
  it('gives `import` and `require` one and the same build', async () => {
    expect(await runNode('programs', ['orders.mjs'], version)).toEqual(HANDLED)
    expect(await runNode('programs', ['orders.cjs'], version)).toEqual(HANDLED)
    const { code, output } = await runNode('programs', ['which.mjs'], version)
    expect(output).toMatch(/^one build \d+ classes$/m)
    expect(code).toBe(0)
  })

  it('gives `require` the CommonJS build where it cannot load ES modules, and both work together', async () => {
    const without = '--no-experimental-require-module'
    expect(await runNode('programs', [without, 'orders.mjs'], version)).toEqual(HANDLED)
    expect(await runNode('programs', [without, 'orders.cjs'], version)).toEqual(HANDLED)
    const { code, output } = await runNode('programs', [without, 'which.mjs'], version)
    expect(output).toMatch(/^two builds 1[4-9] classes$/m)
    expect(code).toBe(0)
  })
})

describe('without a compiler', () => {
  it.each(['22', '24'] as const)('Node %s strips the types', async (version) => {
    expect(await runNode('programs', ['orders.ts'], version)).toEqual(HANDLED)
  })

  it.each(NODES)('tsx runs it on Node %s', async (version) => {
    expect(await runNode('programs', [installed('tsx/dist/cli.mjs'), 'orders.ts'], version)).toEqual(HANDLED)
  })
})
