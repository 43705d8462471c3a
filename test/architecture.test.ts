import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

/** The rules of the house. They read the sources as text, so that no build and no tool stands between. */

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

interface Source {
  /** from the root, such as `src/token.ts` */
  readonly path: string
  readonly code: string
  readonly imports: readonly Import[]
}

function sourcesOf(folder: string): Source[] {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const text = readFileSync(join(ROOT, folder, name), 'utf8')
      return { path: `${folder}/${name}`, code: withoutComments(text), imports: importsOf(text) }
    })
}

/** Enough for sources that a formatter wrote: comments stand on lines of their own, or after code and two spaces or so. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
}

function importsOf(text: string): Import[] {
  const code = withoutComments(text)
  const found: Import[] = []
  for (const [, kind = '', names = '', specifier = ''] of code.matchAll(
    /^(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s*'([^']+)'/gm,
  )) {
    const listed = /^\{([^}]*)\}$/
      .exec(names.trim())?.[1]
      ?.split(',')
      .map((name) => name.trim())
      .filter(Boolean)
    const everyNameIsAType =
      listed !== undefined && listed.length > 0 && listed.every((name) => name.startsWith('type '))
    found.push({ specifier, typeOnly: kind !== '' || everyNameIsAType })
  }
  for (const [, specifier = ''] of code.matchAll(/^import\s*'([^']+)'/gm)) found.push({ specifier, typeOnly: false })
  for (const [, specifier = ''] of code.matchAll(/\b(?:import|require)\(\s*'([^']+)'\s*\)/g)) {
    found.push({ specifier, typeOnly: false })
  }
  return found
}

/** Where a relative import leads, from the root; the specifier itself for any other. */
function targetOf(source: Source, specifier: string): string {
  return specifier.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(source.path), specifier)) : specifier
}

const core = sourcesOf('src').filter(({ path }) => !path.startsWith('src/cli/'))
const cli = sourcesOf('src/cli')
const adapters = sourcesOf('adapters')
const shipped = [...core, ...cli, ...adapters]

/** Each import that breaks a rule, as `file -> target`. */
function offences(
  sources: readonly Source[],
  breaks: (target: string, entry: Import, source: Source) => boolean,
): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter((entry) => breaks(targetOf(source, entry.specifier), entry, source))
      .map((entry) => `${source.path} -> ${entry.specifier}`),
  )
}

const isBuiltIn = (target: string): boolean => target.startsWith('node:')
const isOwn = (target: string): boolean => target.startsWith('src/') || target.startsWith('adapters/')

describe('imports', () => {
  it('are found at all', () => {
    expect(core.length).toBeGreaterThan(30)
    expect(
      core.every(
        ({ imports, path }) => imports.length > 0 || !/^import /m.test(readFileSync(join(ROOT, path), 'utf8')),
      ),
    ).toBe(true)
    const sample =
      "import type { A } from './a.ts'\nimport { type B, c } from 'd'\nexport * from './e.ts'\nimport 'f'\nconst g = await import('h')\nimport {\n  type I,\n  type J,\n} from 'k'"
    expect(importsOf(sample)).toEqual([
      { specifier: './a.ts', typeOnly: true },
      { specifier: 'd', typeOnly: false },
      { specifier: './e.ts', typeOnly: false },
      { specifier: 'k', typeOnly: true },
      { specifier: 'f', typeOnly: false },
      { specifier: 'h', typeOnly: false },
    ])
  })

  it('of the core: node:*, jose and the core', () => {
    expect(offences(core, (target) => !isBuiltIn(target) && target !== 'jose' && !target.startsWith('src/'))).toEqual(
      [],
    )
    expect(offences(core, (target) => target.startsWith('src/cli/'))).toEqual([])
  })

  it('of the command line: adapters and commander, too', () => {
    expect(
      offences(cli, (target) => !isBuiltIn(target) && !isOwn(target) && target !== 'commander' && target !== 'jose'),
    ).toEqual([])
  })

  it('of an adapter: the core and its own folder, never a sibling, and a client library for its types alone', () => {
    const folderOf = (path: string): string => path.split('/').slice(0, 2).join('/')
    expect(
      offences(adapters, (target, { typeOnly }, source) => {
        if (isBuiltIn(target) || target.startsWith(`${folderOf(source.path)}/`)) return false
        // What adapters share lies beside them, not in one of them.
        if (/^adapters\/[^/]+\.ts$/.test(target)) return false
        if (target.startsWith('src/')) return target.startsWith('src/cli/')
        return target.startsWith('adapters/') || !typeOnly
      }),
    ).toEqual([])
  })

  it('name files with their ending', () => {
    expect(offences(shipped, (_, { specifier }) => specifier.startsWith('.') && !specifier.endsWith('.ts'))).toEqual([])
  })
})

describe('state', () => {
  /** Frozen look-up tables say so in their type; anything else that can change belongs to an object somebody made. */
  it('none at the top level of a module', () => {
    const changing = shipped.flatMap(({ path, code }) =>
      code
        .split('\n')
        .filter((line) => {
          if (/^(?:export )?(?:let|var) /.test(line)) return true
          const made =
            /^(?:export )?const [^=]*=\s*new (?:Map|Set|WeakMap|WeakSet|Array|\w*(?:Cache|Store|Registry))\b/.test(line)
          return made && !/: Readonly(?:Map|Set)</.test(line)
        })
        .map((line) => `${path}: ${line}`),
    )
    expect(changing).toEqual([])
  })

  it('what is kept on objects of others has a registered symbol, which both builds know', () => {
    // Tokens of a pattern, values that one function hands to another, and a mark on records of our own making.
    const ownAlone = [
      'src/authorized-keys/patterns.ts',
      'adapters/redis-streams/reader.ts',
      'adapters/redis-streams/guarded-read.ts',
      'adapters/kafka/kafkajs-letters.ts',
    ]
    const unregistered = shipped.filter(({ path, code }) => /\bSymbol\(/.test(code) && !ownAlone.includes(path))
    expect(unregistered.map(({ path }) => path)).toEqual([])
  })

  it('no prototype is patched', () => {
    const patched = shipped.filter(({ code }) =>
      /\.prototype(?:\.\w+|\[[^\]]+\])?\s*=[^=]|setPrototypeOf|definePropert(?:y|ies)\([^,]*\.prototype/.test(code),
    )
    expect(patched.map(({ path }) => path)).toEqual([])
  })
})

describe('one place for each thing', () => {
  it('claims have their names in token.ts; others read them off the parsed token', () => {
    const written = core.filter(
      ({ path, code }) => path !== 'src/token.ts' && /['"](?:bh|hh|hs|jti|queueauth-v1\+jwt)['"]/.test(code),
    )
    expect(written.map(({ path }) => path).filter((path) => !path.startsWith('src/jwt-key-auth/'))).toEqual([])
  })

  it('the order of the checks is in verifier.ts, the control flow of consumers in guard.ts', () => {
    const users = (call: RegExp): string[] => core.filter(({ code }) => call.test(code)).map(({ path }) => path)
    const importers = core.filter(({ code }) =>
      /\b(?:parseToken|TokenReader)\b[^;]*? from '\.{1,2}\/token\.ts'/.test(code),
    )
    expect(importers.map(({ path }) => path)).toEqual(['src/verifier.ts'])
    expect(users(/\.recheck\(/)).toEqual(['src/guard.ts'])
    expect(users(/store\.begin\(/)).toEqual(['src/guard.ts'])
  })

  it('no file is past 350 lines', () => {
    const long = shipped.map(
      ({ path }) => [path, readFileSync(join(ROOT, path), 'utf8').split('\n').length - 1] as const,
    )
    expect(long.filter(([, lines]) => lines > 350)).toEqual([])
  })
})

describe('tests', () => {
  it('are all run: none is skipped or alone', () => {
    const marked = sourcesOf('test').filter(
      ({ code, path }) =>
        path !== 'test/architecture.test.ts' && /\b(?:it|test|describe)\.(?:only|skip|todo)\b/.test(code),
    )
    expect(marked.map(({ path }) => path)).toEqual([])
  })
})
