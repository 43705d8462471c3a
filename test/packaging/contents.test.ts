import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { installed, run } from './programs.ts'

const root = (): string => installed('queue-key-auth')
let files: string[]
let manifest: {
  readonly exports: Readonly<Record<string, Readonly<Record<string, { types: string; default: string }>> | string>>
  readonly typesVersions: { readonly '*': Readonly<Record<string, readonly string[]>> }
  readonly main: string
  readonly types: string
}

beforeAll(async () => {
  const entries = await readdir(root(), { recursive: true, withFileTypes: true })
  files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root().length + 1))
    .filter((file) => !file.startsWith('node_modules/'))
  manifest = JSON.parse(await readFile(join(root(), 'package.json'), 'utf8'))
})

const read = (file: string): Promise<string> => readFile(join(root(), file), 'utf8')

describe('what is published', () => {
  it('has no source maps, charts, vectors, tests or declarations of the command line', () => {
    const unwanted = /\.map$|\.svg$|^docs\/(?:vectors|benchmarks)\/|\.test\.|^(?:test|tools|src|bench)\/|cli\/.*\.d\./
    expect(files.filter((file) => unwanted.test(file))).toEqual([])
    expect(files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'SECURITY.md', 'docs/spec.md']))
  })

  it('names no file that is missing', async () => {
    for (const conditions of Object.values(manifest.exports)) {
      const targets = typeof conditions === 'string' ? [conditions] : Object.values(conditions).flatMap(Object.values)
      for (const target of targets) expect(files).toContain(target.replace('./', ''))
    }
    const others = [manifest.main, manifest.types, ...Object.values(manifest.typesVersions['*']).flat()]
    for (const target of others) expect(files).toContain(target.replace('./', ''))
    for (const file of files.filter((name) => /\.(?:[cm]?js|d\.[cm]?ts)$/.test(name))) {
      const code = await read(file)
      expect(code).not.toMatch(/sourceMappingURL/)
      for (const [, target = ''] of code.matchAll(/^(?:import|export)\b.*from ['"](\.[^'"]+)['"]/gm)) {
        const declared = target.replace(/\.(c?)[jt]s$/, '.d.$1ts')
        const path = join(dirname(file), /\.d\.c?ts$/.test(file) ? declared : target)
        expect(files, file).toContain(path)
      }
      for (const [, target = ''] of code.matchAll(/require\("(\.[^"]+)"\)/g)) {
        expect(files, file).toContain(join(dirname(file), target))
      }
    }
  })

  it('has every entry in each way to load it', () => {
    const entries = Object.entries(manifest.exports).filter(([, conditions]) => typeof conditions === 'object')
    expect(entries.length).toBeGreaterThanOrEqual(7)
    for (const [name, conditions] of entries) {
      // The first that fits counts, so the order is part of it.
      expect(Object.keys(conditions), name).toEqual(['module-sync', 'require', 'default'])
      const { require: required, ...others } = conditions as Record<string, { types: string; default: string }>
      expect(Object.keys(required as object)).toEqual(['types', 'default'])
      expect(others['module-sync']).toEqual(others.default)
      const subpath = name.replace('./', '')
      if (name !== '.') expect(manifest.typesVersions['*'][subpath]).toEqual([required?.types])
    }
    const main = manifest.exports['.'] as Record<string, { types: string; default: string }>
    expect([manifest.main, manifest.types]).toEqual([main.require?.default, main.require?.types])
  })
})

describe('the CommonJS build', () => {
  const isCommonJs = (file: string): boolean => file.endsWith('.cjs')

  it('is strict code, as ES modules are', async () => {
    for (const file of files.filter(isCommonJs)) expect(await read(file), file).toMatch(/^["']use strict["']/)
  })

  it('requires nothing but Node and itself, and has the licence of what is inside', async () => {
    for (const file of files.filter(isCommonJs)) {
      const required = [...(await read(file)).matchAll(/\b(?:require|import)\(["']([^"']+)["']\)/g)].map(
        ([, name]) => name,
      )
      expect(
        required.filter((name) => !/^(?:node:|\.)/.test(name as string)),
        file,
      ).toEqual([])
    }
    expect(await read('dist/cjs/jose.LICENSE.md')).toContain('Filip Skokan')
  })

  it('has declarations that name no other package', async () => {
    const declarations = files.filter((file) => file.endsWith('.d.cts'))
    expect(declarations.length).toBeGreaterThan(20)
    for (const file of declarations) {
      const named = [...(await read(file)).matchAll(/(?:from|import\()\s*["']([^"']+)["']/g)].map(([, name]) => name)
      expect(
        named.filter((name) => !/^(?:node:|\.)/.test(name as string)),
        file,
      ).toEqual([])
    }
  })
})

it('the command runs from the installed package', async () => {
  const { code, output } = await run('programs', installed('.bin/queue-key-auth'), ['--version'])
  expect([code, output.trim()]).toEqual([0, JSON.parse(await read('package.json')).version])
})

it('stays small', async () => {
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(root(), file))).size))
  // Without source maps and vectors it was 1.7 MB; a megabyte more is a file that does not belong here.
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2_500_000)
})
