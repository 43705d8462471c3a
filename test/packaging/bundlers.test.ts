import { describe, expect, it } from 'vitest'
import { runNode } from './programs.ts'

const HANDLED = { code: 0, output: expect.stringMatching(/^handled checkout$/m) }

describe('esbuild', () => {
  it.each([
    ['import', 'esm'],
    ['import', 'cjs'],
    ['require', 'cjs'],
  ] as const)('bundles a program that has %s, as %s', async (loads, format) => {
    const bundle = `bundles/esbuild-${loads}-${format}.${format === 'esm' ? 'mjs' : 'cjs'}`
    expect(await runNode('programs', ['esbuild.mjs', loads, format, bundle])).toEqual({ code: 0, output: '' })
    expect(await runNode('programs', [bundle])).toEqual(HANDLED)
  })
})

describe('webpack', () => {
  it.each(['import', 'require'])('bundles a program that has %s', async (loads) => {
    const bundle = `webpack-${loads}.cjs`
    expect(await runNode('programs', ['webpack.mjs', loads, bundle])).toEqual({ code: 0, output: '' })
    expect(await runNode('programs', [`bundles/${bundle}`])).toEqual(HANDLED)
  })
})
