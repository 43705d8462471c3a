// Throws mutated texts at every parser that reads what others wrote. Each must come to an end soon, with a result or with
// an error of our own; anything else is printed, and the exit code is 1.
//
//   npm run build && node test/fuzz/parsers.mjs [inputs] [seed]

import { generateKeyPairSync } from 'node:crypto'
import { parseLines } from '../../dist/src/authorized-keys/lines.js'
import { QueuePatterns } from '../../dist/src/authorized-keys/patterns.js'
import { parseQueuePolicy } from '../../dist/src/authorized-keys/queue-policy.js'
import { parseRevokedKeys } from '../../dist/src/authorized-keys/revoked-keys.js'
import { SetupError, Signer } from '../../dist/src/index.js'
import { parseOpenSshPrivateKey } from '../../dist/src/keys/openssh-private.js'
import { readPrivateKey } from '../../dist/src/keys/private-key.js'
import { openSshPublicKey, publicKeyOf, readPublicKey } from '../../dist/src/keys/public-key.js'
import { isFault, parseToken } from '../../dist/src/token.js'

const INPUTS = Number(process.argv[2] ?? 1_000_000)
const SEED = Number(process.argv[3] ?? Date.now() % 2 ** 32)
/** Longer than this is a fault, if it is as long when it is tried again. */
const SLOW_MS = 5
const MAX_LENGTH = 4_096

/** mulberry32: the same seed gives the same inputs. */
let state = SEED
function random(below) {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
}
const pick = (list) => list[random(list.length)]

const pairs = [
  generateKeyPairSync('ed25519'),
  generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  generateKeyPairSync('rsa', { modulusLength: 2048 }),
]
const publicLines = pairs.map(({ privateKey }) => openSshPublicKey(publicKeyOf(privateKey)))
const opensshPrivate = opensshPrivateKey(pairs[0].privateKey.export({ format: 'jwk' }))
const signer = Signer.generate('checkout')
const token = signer.sign({
  destination: 'amqp:orders/order.created',
  payload: Buffer.from('x'),
  properties: { type: 'order' },
  headers: { tenant: 'acme' },
})

const WORDS = [
  ...[
    'queues=',
    'valid-after=',
    'valid-before=',
    'alg=',
    '"',
    ',',
    ' ',
    '\t',
    '\n',
    '\r',
    '#',
    '!',
    '*',
    '**',
    '?',
    '.',
  ],
  ...[
    'rollout=',
    'observe',
    'enforce',
    'accept-unsigned-until=',
    'max-age=',
    'destinations=',
    'delivered',
    '7d',
    'amqp:',
  ],
  ...['2026-12-31T00:00Z', '9'.repeat(30), 'SHA256:', 'kid:', 'ssh-ed25519', 'AAAA', '-----BEGIN', 'PRIVATE KEY-----'],
  ...[
    '\0',
    '\uFEFF',
    '\ud800',
    '\u202e',
    'é',
    '{',
    '}',
    '[',
    '=',
    '==',
    '-',
    '_',
    '/',
    '+',
    '\\',
    '__proto__',
    'a'.repeat(300),
  ],
  ...['e30', 'eyJ', '1e309', '-0', 'null', ':'],
]

const TARGETS = [
  {
    name: 'authorized_keys',
    seeds: publicLines.map(
      (line) => `# keys\ncheckout,etl queues="orders.*,!orders.x",valid-before="2026-12-31" ${line} note\n`,
    ),
    run: (text) => parseLines(text, 'authorized_keys'),
  },
  {
    name: 'revoked_keys',
    seeds: [`${publicLines[0]}\nSHA256:${'A'.repeat(42)}E lost\nkid:${signer.keyId}\n`],
    run: (text) => parseRevokedKeys(text, 'revoked_keys'),
  },
  {
    name: 'revoked_keys, whatever is right in it',
    seeds: [`${publicLines[1]}\nnonsense\nkid:${signer.keyId}\n`],
    run: (text) => parseRevokedKeys(text, 'revoked_keys', () => undefined),
  },
  {
    name: 'queue_policy',
    seeds: [
      'orders.*,!x rollout=observe max-age=7d\nretry destinations=delivered,amqp:a/b.* accept-unsigned-until=2026-12-31\n',
    ],
    run: (text) => parseQueuePolicy(text, 'queue_policy'),
  },
  {
    name: 'patterns',
    seeds: ['orders.*,invoices,!orders.*.x,**.?.**,*a*b*c*', '**a**b**c**d**e,*?*?*?*'],
    run: (text) => {
      const patterns = QueuePatterns.parse(text.slice(0, 1_000))
      patterns.matches('orders.created.x')
      patterns.matches('ab.cd/ef:gh'.repeat(20))
    },
  },
  { name: 'public keys', seeds: publicLines, run: (text) => readPublicKey(text) },
  {
    name: 'openssh-key-v1',
    seeds: [opensshPrivate],
    run: (text) => parseOpenSshPrivateKey(text, undefined),
  },
  {
    name: 'private keys',
    seeds: [opensshPrivate, JSON.stringify(pairs[0].privateKey.export({ format: 'jwk' }))],
    run: (text) => readPrivateKey(text),
  },
  {
    name: 'token',
    seeds: [token],
    run: (text) => {
      const result = parseToken(random(4) === 0 ? Buffer.from(text) : text)
      if (isFault(result)) throw new SetupError('option-invalid', result.code)
    },
  },
  {
    name: 'token, mutated inside',
    seeds: [token],
    // Changes within the JSON: the outer text of a mutated token hardly ever gets that far.
    mutate: (text) =>
      text
        .split('.')
        .map((part, index) => (index < 2 && random(2) === 0 ? inBase64Url(part) : part))
        .join('.'),
    run: (text) => {
      const result = parseToken(text)
      if (isFault(result)) throw new SetupError('option-invalid', result.code)
    },
  },
  {
    name: 'OpenSSH blobs, mutated inside',
    seeds: publicLines,
    mutate: (text) => {
      const [word, base64] = text.split(' ')
      return `${word} ${mutateBytes(Buffer.from(base64, 'base64')).toString('base64')}`
    },
    run: (text) => readPublicKey(text),
  },
  {
    name: 'openssh-key-v1, mutated inside',
    seeds: [opensshPrivate],
    mutate: (text) => {
      const body = text.split('\n').slice(1, -2).join('')
      return pemOf(mutateBytes(Buffer.from(body, 'base64')))
    },
    run: (text) => parseOpenSshPrivateKey(text, undefined),
  },
]

function inBase64Url(part) {
  return Buffer.from(mutate(Buffer.from(part, 'base64url').toString('latin1')), 'latin1').toString('base64url')
}

function mutate(text) {
  let result = text
  for (let round = random(4); round >= 0; round--) {
    const at = random(result.length + 1)
    const length = random(4) === 0 ? random(result.length + 1) : random(4)
    switch (random(6)) {
      case 0:
        result = result.slice(0, at) + result.slice(at + length)
        break
      case 1:
        result = result.slice(0, at) + pick(WORDS) + result.slice(at)
        break
      case 2:
        result =
          result.slice(0, at) + String.fromCharCode(random(random(8) === 0 ? 65_536 : 128)) + result.slice(at + 1)
        break
      case 3:
        result = result.slice(0, at) + result.slice(at, at + length) + result.slice(at)
        break
      case 4:
        result = result.slice(0, at) + pick(WORDS) + result.slice(at + length)
        break
      default:
        result = result.slice(at) + result.slice(0, at)
    }
  }
  return result.slice(0, MAX_LENGTH)
}

function mutateBytes(bytes) {
  const result = Buffer.from(bytes)
  for (let round = random(4); round >= 0; round--) {
    if (result.length === 0) break
    const at = random(result.length)
    if (random(2) === 0) result[at] = random(256)
    else result.writeUInt8(result[at] ^ (1 << random(8)), at)
  }
  const kind = random(6)
  if (kind === 0) return result.subarray(0, random(result.length + 1))
  return kind === 1 ? Buffer.concat([result, Buffer.alloc(random(40))]) : result
}

function opensshPrivateKey(jwk) {
  const string = (value) => {
    const bytes = Buffer.from(value)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const x = Buffer.from(jwk.x, 'base64url')
  const blob = Buffer.concat([string('ssh-ed25519'), string(x)])
  const check = Buffer.from([1, 2, 3, 4, 1, 2, 3, 4])
  const pair = string(Buffer.concat([Buffer.from(jwk.d, 'base64url'), x]))
  const inner = Buffer.concat([check, string('ssh-ed25519'), string(x), pair, string('note')])
  const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, index) => index + 1))
  const count = Buffer.from([0, 0, 0, 1])
  const head = [Buffer.from('openssh-key-v1\0'), string('none'), string('none'), string(''), count, string(blob)]
  return pemOf(Buffer.concat([...head, string(Buffer.concat([inner, padding]))]))
}

function pemOf(bytes) {
  const lines = bytes.toString('base64').replace(/.{70}/g, '$&\n')
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`
}

/** Milliseconds it took; throws what is not an error of ours. */
function time(run, text) {
  const start = performance.now()
  try {
    run(text)
    accepted++
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    refused++
  }
  return performance.now() - start
}

let accepted = 0
let refused = 0
let faults = 0
console.log(`${INPUTS} inputs, seed ${SEED}, node ${process.version}`)
for (const target of TARGETS) {
  for (const seed of target.seeds) target.run(seed)
  accepted = 0
  refused = 0
  let slowest = 0
  const count = Math.ceil(INPUTS / TARGETS.length)
  for (let index = 0; index < count; index++) {
    const seed = pick(target.seeds)
    const text = target.mutate === undefined ? mutate(seed) : target.mutate(seed)
    try {
      let taken = time(target.run, text)
      // A pause of the machine or of the collector is not the parser's: what is slow is slow each time.
      for (let again = 0; again < 5 && taken > slowest; again++) taken = Math.min(taken, time(target.run, text))
      slowest = Math.max(slowest, taken)
      if (taken > SLOW_MS) throw new Error(`${taken.toFixed(1)} ms`)
    } catch (error) {
      faults++
      console.error(`${target.name}: ${error?.stack ?? error}\n  ${JSON.stringify(text)}`)
    }
  }
  console.log(
    `${target.name.padEnd(38)} ${String(count).padStart(8)} inputs  ${String(accepted).padStart(8)} accepted  ${String(refused).padStart(8)} refused  slowest ${slowest.toFixed(2)} ms`,
  )
}
console.log(faults === 0 ? 'no faults' : `${faults} faults`)
process.exitCode = faults === 0 ? 0 : 1
