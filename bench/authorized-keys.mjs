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

/** What lines there are in practice: keys of their own each, or few keys that many lines name. */
const kinds = {
  'Ed25519, a key each': (index) => Signer.generate(`service-${index}`),
  'ES256, a key each': (index) => Signer.fromKey(generatePrivateKey('ES256'), { service: `service-${index}` }),
  'ES384, a key each': (index) => Signer.fromKey(generatePrivateKey('ES384'), { service: `service-${index}` }),
}

const folder = mkdtempSync(join(tmpdir(), 'bench-keys-'))
try {
  for (const [name, make] of Object.entries(kinds)) {
    const lines = Array.from({ length: LINES }, (_, index) => make(index).authorizedKeysLine('other.*,!x'))
    writeFileSync(join(folder, 'authorized_keys'), `${lines.join('\n')}\n`)
    const start = performance.now()
    const keys = await AuthorizedKeys.fromDirectory(folder)
    const loaded = performance.now() - start
    writeFileSync(join(folder, 'authorized_keys'), `# changed\n${lines.join('\n')}\n`)
    const again = performance.now()
    await keys.refresh()
    const reloaded = performance.now() - again
    keys.close()
    console.log(
      `${LINES} lines (${name}): loaded in ${loaded.toFixed(0)} ms, loaded again after a change in ${reloaded.toFixed(0)} ms`,
    )
  }
} finally {
  rmSync(folder, { recursive: true })
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
