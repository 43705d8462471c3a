/**
 * `npm run test:confluent`: the tests of the Kafka adapter with the Confluent client. Where no binary of it can be
 * downloaded, installing it compiles librdkafka, which takes minutes and a C++ compiler; the result is kept in the cache.
 * CONFLUENT_CLIENT names a folder in whose node_modules the client is installed already.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installWithApt, run, say } from '../../tools/brokers/apt.mjs'
import { cacheFolder, findProgram } from '../../tools/brokers/programs.mjs'

const VERSION = '1.10.1'
const root = fileURLToPath(new URL('../..', import.meta.url))

/** What the client is compiled with: by the file that shows that it is there, and what Debian calls it. */
const needed = [
  ['/usr/include/openssl/ssl.h', 'libssl-dev'],
  ['/usr/include/sasl/sasl.h', 'libsasl2-dev'],
  ['/usr/include/zstd.h', 'libzstd-dev'],
  ['/usr/include/zlib.h', 'zlib1g-dev'],
]

async function install(folder) {
  if (process.platform === 'linux') {
    const packages = needed.filter(([file]) => !existsSync(file)).map(([, name]) => name)
    if (['g++', 'make', 'python3'].some((program) => findProgram(program) === undefined)) {
      packages.push('g++', 'make', 'python3')
    }
    if (packages.length > 0) await installWithApt(packages)
  }
  mkdirSync(cacheFolder(), { recursive: true })
  const partial = mkdtempSync(join(cacheFolder(), 'partial-'))
  try {
    writeFileSync(join(partial, 'package.json'), '{ "private": true }\n')
    // Linked to the libraries of the system, which have to be downloaded and compiled as well otherwise.
    process.env.CKJS_LINKING ??= 'dynamic'
    const args = ['install', '--prefix', partial, '--no-audit', '--no-fund', '--ignore-scripts=false']
    const title = `installing @confluentinc/kafka-javascript ${VERSION}`
    await run(title, 'npm', [...args, `@confluentinc/kafka-javascript@${VERSION}`])
    renameSync(partial, folder)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
}

const cached = join(cacheFolder(), `confluent-${VERSION}`)
const folder = process.env.CONFLUENT_CLIENT || cached
if (folder === cached && !existsSync(cached)) await install(cached)
say(`the Confluent client: ${folder}`)

const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
const tests = spawn(process.execPath, [vitest, 'run', '--project', 'brokers', 'confluent', ...process.argv.slice(2)], {
  cwd: root,
  env: { ...process.env, CONFLUENT_CLIENT: folder, TEST_REQUIRE_BROKERS: 'kafka' },
  stdio: 'inherit',
})
tests.once('exit', (code) => process.exit(code ?? 1))
