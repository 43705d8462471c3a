/**
 * Builds `dist`: ES modules as the compiler writes them, and beside them, in `dist/cjs`, the same for programs that cannot
 * `require` ES modules. docs/commonjs.md says who gets which.
 *
 * The CommonJS side is bundled: its entries share chunks, so that there is one of each class on that side, and jose, which
 * is an ES module itself, is part of it.
 */

import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)
const dist = join(root, 'dist')
const cjs = join(dist, 'cjs')

rmSync(dist, { recursive: true, force: true })
compile()
openTypes()
const entries = requiredEntries()
await bundle(entries)
copyTypes(entries)
copyFileSync(join(dirname(require.resolve('jose/package.json')), 'LICENSE.md'), join(cjs, 'jose.LICENSE.md'))

function compile() {
  const compiler = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')
  execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
}

/**
 * Takes the mark out of the declarations that says a class has private fields. With it, a `Signer` of the ES modules would
 * be no `Signer` to a CommonJS library that its program hands it to, though the two work together.
 */
function openTypes() {
  for (const name of readdirSync(dist, { recursive: true }).filter((file) => file.endsWith('.d.ts'))) {
    const file = join(dist, name)
    const text = readFileSync(file, 'utf8')
    if (text.includes('#private')) writeFileSync(file, text.replace(/^ *#private;\n/gm, ''))
  }
}

/** What package.json promises to `require`, and the module that it is made of. */
function requiredEntries() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return Object.values(exports)
    .filter((conditions) => typeof conditions === 'object')
    .map(({ require: required, default: fallback }) => ({
      name: relative(cjs, join(root, required.default)).replace(/\.cjs$/, ''),
      module: join(root, fallback.default),
      types: join(root, fallback.types),
      requiredTypes: join(root, required.types),
    }))
}

async function bundle(entries) {
  const build = await rolldown({
    input: Object.fromEntries(entries.map(({ name, module }) => [name, module])),
    external: /^node:/,
    platform: 'node',
    onLog(level, log) {
      // What cannot be resolved is left as it is otherwise, and fails in a user's program.
      if (level === 'warn') throw new Error(`rolldown: ${log.message}`)
    },
  })
  const { output } = await build.write({
    dir: cjs,
    format: 'cjs',
    exports: 'named',
    // ES modules are strict, so what they are made into must say it.
    strict: true,
    comments: { jsdoc: false, annotation: false, legal: true },
    entryFileNames: '[name].cjs',
    chunkFileNames: 'chunks/[name].cjs',
  })
  await build.close()
  const foreign = output.flatMap((chunk) => chunk.imports ?? []).filter((name) => !/^(?:node:|.*\.cjs$)/.test(name))
  if (foreign.length > 0) throw new Error(`the CommonJS side requires ${foreign.join(', ')}, which it must contain`)
}

/** The declarations that the entries reach, under the names that make them those of CommonJS modules. */
function copyTypes(entries) {
  const pending = entries.map(({ types }) => types)
  const copied = new Set()
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (copied.has(file)) continue
    copied.add(file)
    const text = readFileSync(file, 'utf8').replace(
      /((?:from|import)\s*\(?\s*)(['"])(\.{1,2}\/[^'"]+)\.[jt]s\2/g,
      (_, before, quote, path) => {
        pending.push(resolve(dirname(file), `${path}.d.ts`))
        return `${before}${quote}${path}.cjs${quote}`
      },
    )
    const [foreign] = text.match(/from\s*['"](?!node:|\.)[^'"]+['"]/) ?? []
    if (foreign !== undefined) throw new Error(`${relative(root, file)}: a public type is ${foreign}`)
    const target = join(cjs, 'types', relative(dist, file)).replace(/\.ts$/, '.cts')
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text)
  }
  for (const { requiredTypes } of entries) readFileSync(requiredTypes)
}
