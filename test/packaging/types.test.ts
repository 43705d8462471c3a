import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { home, installed, runNode } from './programs.ts'
import { NODES } from './toolchains.ts'

const COMPILERS = { '5.9': 'typescript/bin/tsc', '7': 'typescript-7/bin/tsc' }

interface Setting {
  readonly module: string
  readonly moduleResolution: string
  /** what package.json says of the project */
  readonly type: 'commonjs' | 'module'
  /** default: both; TypeScript 7 has no `node`, and 5.9 does not combine `commonjs` and `bundler` */
  readonly compiler?: keyof typeof COMPILERS
  /** what comes out is for a bundler, so Node cannot run it */
  readonly bundled?: true
  /** TypeScript 5.9 takes long to check all declarations, so it does for one setting of each build; 7 does for all */
  readonly checked?: true
}

const SETTINGS: readonly Setting[] = [
  { module: 'commonjs', moduleResolution: 'node', type: 'commonjs', compiler: '5.9', checked: true },
  { module: 'commonjs', moduleResolution: 'bundler', type: 'commonjs', compiler: '7' },
  { module: 'node16', moduleResolution: 'node16', type: 'commonjs' },
  { module: 'node16', moduleResolution: 'node16', type: 'module' },
  { module: 'nodenext', moduleResolution: 'nodenext', type: 'commonjs' },
  { module: 'nodenext', moduleResolution: 'nodenext', type: 'module', checked: true },
  { module: 'esnext', moduleResolution: 'bundler', type: 'module' },
  { module: 'preserve', moduleResolution: 'bundler', type: 'commonjs', bundled: true },
]

const cases = SETTINGS.flatMap((setting) =>
  (Object.keys(COMPILERS) as (keyof typeof COMPILERS)[])
    .filter((compiler) => (setting.compiler ?? compiler) === compiler)
    .map((compiler) => ({ compiler, ...setting })),
)

describe('the declarations', () => {
  it.each(cases)(
    'TypeScript $compiler, module $module, moduleResolution $moduleResolution, a $type',
    async ({ compiler, module, moduleResolution, type, bundled, checked }) => {
      const project = `types/${compiler}-${module}-${moduleResolution}-${type}`
      const folder = join(home(), project)
      await mkdir(folder, { recursive: true })
      const compilerOptions = {
        ...{ module, moduleResolution, target: 'ES2023', lib: ['ES2023', 'ESNext.Disposable'], types: ['node'] },
        ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: compiler === '5.9' && !checked },
        ...{ rootDir: '.', outDir: 'out' },
      }
      await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type }))
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }))
      await copyFile(join(home(), 'types', 'program.ts'), join(folder, 'program.ts'))
      expect(await runNode(project, [installed(COMPILERS[compiler])])).toEqual({ code: 0, output: '' })
      if (bundled) return
      const handled = { code: 0, output: expect.stringMatching(/^handled checkout$/m) }
      expect(await runNode(project, ['--no-experimental-require-module', 'out/program.js'])).toEqual(handled)
    },
  )
})

describe('an application of ES modules and a CommonJS library', () => {
  it.each(['5.9', '7'] as const)('pass each other signers, keys and verifiers with TypeScript %s', async (compiler) => {
    expect(await runNode('mixed', [installed(COMPILERS[compiler])])).toEqual({ code: 0, output: '' })
    const works = { code: 0, output: expect.stringMatching(/^checkout checkout key-unknown true$/m) }
    for (const version of NODES) {
      expect(await runNode('mixed', ['out/main.mjs'], version)).toEqual(works)
      expect(await runNode('mixed', ['--no-experimental-require-module', 'out/main.mjs'], version)).toEqual(works)
    }
  })
})
