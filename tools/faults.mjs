/**
 * Runs the long campaign of faults (test/campaign) and prints a table of what became of the messages.
 *
 *   npm run test:faults [-- [--write] [rabbitmq redis kafka]]
 *
 * FAULTS_SEED repeats the choices of an earlier run, FAULTS_KILLS says how many consumers are killed (100). `--write` writes
 * the table to docs/reliability.md.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const names = process.argv.slice(2).filter((name) => !name.startsWith('--'))
const seed = process.env.FAULTS_SEED ?? String(Date.now() % 1_000_000)
const kills = process.env.FAULTS_KILLS ?? '100'
const folder = mkdtempSync(join(tmpdir(), 'queue-key-auth-faults-'))
const rowsFile = join(folder, 'rows')
writeFileSync(rowsFile, '')
console.log(`seed ${seed}: FAULTS_SEED=${seed} FAULTS_KILLS=${kills} npm run test:faults repeats its choices`)

const brokers = new Set()
const started = performance.now()
const status = await new Promise((resolve, reject) => {
  const files = names.map((name) => `test/campaign/${name}`)
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.campaign.config.ts', ...files]
  const env = { ...process.env, FAULTS_SEED: seed, FAULTS_KILLS: kills, FAULTS_ROWS: rowsFile }
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text)
    for (const [, broker] of text.matchAll(/^broker: (.+)$/gm)) brokers.add(broker)
  })
  child.once('error', reject)
  child.once('close', resolve)
})

const rows = readFileSync(rowsFile, 'utf8')
  .split('\n')
  .slice(0, -1)
  .map((line) => JSON.parse(line))
rmSync(folder, { recursive: true })
const columns = {
  scenario: 'scenario',
  faults: 'faults',
  good: 'good in',
  forged: 'forged in',
  handled: 'good handled',
  handledAgain: 'handled again',
  publishedAgain: 'published again',
  deadLettered: 'forged dead-lettered',
  lost: 'lost',
  wronglyRejected: 'wrongly rejected',
  forgedAccepted: 'forged accepted',
}
const line = (cells) => `| ${cells.join(' | ')} |`
const text = (value) => (typeof value === 'number' ? value.toLocaleString('en') : value)
const kinds = ['RabbitMQ', 'Redis Streams', 'Kafka'].filter((kind) =>
  rows.some(({ scenario }) => scenario.startsWith(kind)),
)
const sums = kinds.map((kind) => {
  const own = rows.filter(({ scenario }) => scenario.startsWith(kind))
  const sum = (name) => own.reduce((total, row) => total + row[name], 0)
  return Object.fromEntries(
    Object.keys(columns).map((name) => [name, name === 'scenario' ? `**${kind}, all**` : sum(name)]),
  )
})
const table = [
  line(Object.values(columns)),
  line(Object.keys(columns).map((name) => (name === 'scenario' ? '---' : '--:'))),
  ...[...rows, ...sums].map((row) => line(Object.keys(columns).map((name) => text(row[name])))),
].join('\n')
const minutes = Math.round((performance.now() - started) / 60_000)
const on = `Node.js ${process.versions.node}; ${[...brokers].sort().join(', ')}; seed ${seed}; ${minutes} minutes`
console.log(`\n${on}\n\n${table}`)
if (process.argv.includes('--write')) writePage()
process.exitCode = status

function writePage() {
  const page = join(root, 'docs', 'reliability.md')
  const [before] = readFileSync(page, 'utf8').split('<!-- the table of the last full run -->')
  writeFileSync(page, `${before}<!-- the table of the last full run -->\n\n${on}\n\n${table}\n`)
}
