// How long many lines take to load, and what a verification costs with them.
//
//   npm run build && node bench/authorized-keys.mjs [lines]

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuthorizedKeys, Signer, Verifier } from '../dist/src/index.js'
import { generatePrivateKey } from '../dist/src/keys/generate.js'

const LINES = Number(process.argv[2] ?? 10_000)
const ROUNDS = 30
const CALLS = 1_000
const message = { destination: 'memory:orders', payload: Buffer.alloc(1_024, 'x') }

console.log(`${cpus()[0].model}, ${cpus().length} CPUs, node ${process.version}`)

const folder = mkdtempSync(join(tmpdir(), 'bench-keys-'))
try {
  await load('Ed25519', LINES)
  await load('ES256', LINES)
  await load('ES384', LINES / 10)
} finally {
  rmSync(folder, { recursive: true })
}

/** Every line has a key of its own: the dearest there is, since a key that comes again is read once. */
async function load(algorithm, count) {
  const lines = Array.from({ length: count }, (_, index) =>
    Signer.fromKey(generatePrivateKey(algorithm), { service: `service-${index}` }).authorizedKeysLine('other.*,!x'),
  )
  const text = `${lines.join('\n')}\n`
  writeFileSync(join(folder, 'authorized_keys'), text)
  let keys
  const first = await cost(async () => {
    keys = await AuthorizedKeys.fromDirectory(folder)
  })
  writeFileSync(join(folder, 'authorized_keys'), `# changed\n${text}`)
  const again = await cost(() => keys.refresh())
  keys.close()
  console.log(`${count} lines, ${algorithm}, a key each: loaded in ${first}; again after a change in ${again}`)
}

/** On a machine that does other things, too, the time on the CPU says more. */
async function cost(work) {
  const before = process.cpuUsage()
  const start = performance.now()
  await work()
  const wall = performance.now() - start
  const { user, system } = process.cpuUsage(before)
  return `${wall.toFixed(0)} ms (${((user + system) / 1_000).toFixed(0)} ms on the CPU)`
}

const signer = Signer.generate('checkout')
const others = Array.from({ length: LINES - 1 }, (_, index) =>
  Signer.generate(`s${index}`).authorizedKeysLine('orders'),
)
const own = signer.authorizedKeysLine('orders')
const few = new Verifier({ keys: AuthorizedKeys.parse(own), replay: 'off' })
const many = new Verifier({ keys: AuthorizedKeys.parse([...others, own].join('\n')), replay: 'off' })
const received = Array.from({ length: CALLS }, () => ({
  queue: 'orders',
  deliveredBy: [message.destination],
  token: signer.sign(message),
  payload: message.payload,
  properties: {},
  headers: {},
}))

function round(verifier) {
  const start = performance.now()
  for (const each of received) verifier.verify(each)
  return ((performance.now() - start) / CALLS) * 1_000
}

// In turn, and the best of each: what else the machine does hits both.
const best = [Infinity, Infinity]
for (let index = 0; index < ROUNDS; index++) {
  best[0] = Math.min(best[0], round(few))
  best[1] = Math.min(best[1], round(many))
}
const [one, all] = best
console.log(
  `a verification: ${one.toFixed(1)} us with 1 line, ${all.toFixed(1)} us with ${LINES}: ratio ${(all / one).toFixed(3)}`,
)
