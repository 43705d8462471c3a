/**
 * Runs the tests on each supported combination of Node.js, brokers and clients, and prints a table of what passed. It
 * brings what it needs: Node.js from npm, brokers from Debian's releases and Maven.
 *
 *   npm run test:matrix [-- current oldest valkey]
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeFolder } from './node.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Each row: what it runs on, and which tests. No files: all of them. */
const rows = {
  current: { node: '24', env: {}, files: [] },
  oldest: {
    node: '20.19.0',
    env: { TEST_DEBIAN: 'bookworm', TEST_CLIENTS: 'oldest' },
    files: ['test/unit', 'test/contract'],
  },
  valkey: {
    node: '22',
    env: { TEST_REDIS_SERVER: 'valkey-server' },
    files: ['test/unit', 'test/rabbitmq', 'test/redis-streams', 'test/examples.test.ts'],
  },
}

function runWith(env, program, args, onLine) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      process.stdout.write(text)
      const lines = (rest + text).split('\n')
      rest = lines.pop()
      for (const line of lines) onLine(line)
    })
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
}

async function runRow(name) {
  const { node, env: more, files } = rows[name]
  const bin = await nodeFolder(node)
  const env = {
    ...process.env,
    ...more,
    PATH: [bin, process.env.PATH].join(delimiter),
    TEST_REQUIRE_BROKERS: 'rabbitmq,kafka,redis',
    NO_COLOR: '1',
  }
  console.log(
    `--- ${name}: Node.js ${node} ${Object.entries(more)
      .map((entry) => entry.join('='))
      .join(' ')}`,
  )
  const folder = mkdtempSync(join(tmpdir(), 'queue-key-auth-matrix-'))
  const results = join(folder, 'results.json')
  const started = performance.now()
  const brokers = []
  try {
    const program = join(bin, 'node')
    if ((await runWith(env, program, ['tools/brokers/install.mjs'], () => undefined)) !== 0)
      throw new Error('the installer failed')
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`]
    const args = ['node_modules/vitest/vitest.mjs', 'run', ...files, ...reporters]
    await runWith(env, program, args, (line) => {
      const broker = line.match(/^(rabbitmq|redis|kafka) (\(Valkey [\d.]+\)|[\d.]+), /)
      if (broker !== null) brokers.push(`${broker[1]} ${broker[2]}`)
    })
    const counts = JSON.parse(readFileSync(results, 'utf8'))
    return {
      row: name,
      node: readVersion(await version(program)),
      brokers: brokers.sort().join(', '),
      tests: files.length === 0 ? 'all' : files.map((file) => file.replace(/^test\//, '')).join(', '),
      passed: counts.numPassedTests,
      failed: counts.numFailedTests + counts.numFailedTestSuites,
      skipped: counts.numPendingTests,
      failures: failuresOf(counts),
      seconds: Math.round((performance.now() - started) / 1000),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function version(program) {
  let printed = ''
  await runWith(process.env, program, ['--version'], (line) => {
    printed += line
  })
  return printed
}

function readVersion(printed) {
  return printed.trim().replace(/^v/, '')
}

function failuresOf({ testResults }) {
  return testResults.flatMap(({ name, message, assertionResults }) => {
    const failed = assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName)
    if (failed.length === 0 && message) failed.push(message.split('\n')[0])
    return failed.map((title) => `${name.slice(root.length + 1)}: ${title}`)
  })
}

const wanted = process.argv.slice(2)
for (const name of wanted) {
  if (!Object.hasOwn(rows, name))
    throw new Error(`there is no row "${name}"; write any of ${Object.keys(rows).join(' ')}`)
}
const table = []
for (const name of wanted.length > 0 ? wanted : Object.keys(rows)) table.push(await runRow(name))

console.log(
  '\n| row | Node.js | brokers | tests | passed | failed | skipped | seconds |\n|---|---|---|---|---|---|---|---|',
)
for (const { row, node, brokers, tests, passed, failed, skipped, seconds } of table) {
  console.log(`| ${[row, node, brokers, tests, passed, failed, skipped, seconds].join(' | ')} |`)
}
for (const { row, failures } of table) for (const failure of failures) console.log(`failed on ${row}: ${failure}`)
const passed = table.reduce((sum, row) => sum + row.passed, 0)
const failed = table.reduce((sum, row) => sum + row.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
