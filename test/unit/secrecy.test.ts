import type { KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { explanationHeaders, UnstorableError } from '../../src/dead-letter.ts'
import { type Events, subscribe } from '../../src/events.ts'
import { Guard } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import { Signer } from '../../src/signer.ts'
import { deliveryOf, failing, ScriptedStore } from './deliveries.ts'
import {
  ChangingKeys,
  keysOf,
  lineOf,
  ManualClock,
  MESSAGE,
  NOW,
  receivedWith,
  rejectionOf,
  tokenOf,
  verifierFor,
} from './helpers.ts'
import { privateKeyFor, setupErrorOf } from './keys/helpers.ts'

/** Everything the library says of a message is collected and searched for what must not be in it. */

const BODY = 'body-marker-7f3a'
const HEADER = 'header-value-marker-91c2'
const secretMessage = { ...MESSAGE, payload: Buffer.from(BODY), headers: { tenant: HEADER, table: { inner: HEADER } } }
const HOSTILE = '\r\nSet-Cookie: x\u001b[31m\u202e\u2028"\0'

let said: string[]
const stops: (() => void)[] = []

beforeEach(() => {
  said = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void said.push(String(warning)))
  const names: (keyof Events)[] = ['queue-key-auth:settled', 'queue-key-auth:held', 'queue-key-auth:notice']
  for (const name of names) stops.push(subscribe(name, (event) => said.push(JSON.stringify(event))))
})
afterEach(() => {
  vi.restoreAllMocks()
  for (const stop of stops.splice(0)) stop()
})

/** The pieces of a secret that would give it away. */
function piecesOf(secret: string): string[] {
  return Array.from({ length: Math.max(1, Math.floor(secret.length / 16)) }, (_, n) =>
    secret.slice(n * 16, n * 16 + 16),
  )
}

function secretsOf(key: KeyObject, token: string): string[] {
  const jwk = key.export({ format: 'jwk' })
  const [header = '', claims = '', signature = ''] = token.split('.')
  return [
    BODY,
    HEADER,
    jwk.d as string,
    ...piecesOf(signature),
    ...piecesOf(claims),
    ...piecesOf(header).slice(1),
  ].filter((text) => text.length >= 12)
}

async function listenTo(received: ReceivedMessage, options: Parameters<typeof verifierFor>[0]): Promise<void> {
  const verifier = verifierFor(options)
  const rejection = rejectionOf(() => verifier.verify(received))
  if (rejection !== undefined)
    said.push(rejection.message, rejection.detail, String(rejection.stack), JSON.stringify(rejection))
  const controller = new AbortController()
  const attempts = [
    failing,
    () => {
      throw new UnstorableError('too large')
    },
  ]
  const guard = new Guard(verifier, { signal: controller.signal })
  const plan = {
    deadLetter: async (letter: Parameters<typeof explanationHeaders>[0]): Promise<void> => {
      said.push(JSON.stringify(explanationHeaders(letter)))
      attempts.shift()?.()
    },
  }
  const stop = subscribe('queue-key-auth:held', () => controller.abort())
  stops.push(
    stop,
    subscribe('queue-key-auth:dead-letter-failed', () => controller.abort()),
  )
  await guard.receive(deliveryOf([], 'a', received, plan))
  // Once more with listeners, where the events are made.
  const heard = subscribe('queue-key-auth:verdict', (event) => said.push(JSON.stringify(event)))
  await new Guard(verifier, { onRejected: 'acknowledge', signal: AbortSignal.abort() }).receive(
    deliveryOf([], 'a', received),
  )
  heard()
}

const good = tokenOf({ message: secretMessage })
const other = privateKeyFor('ES256')
const withToken = (token: unknown, overrides: Partial<ReceivedMessage> = {}): ReceivedMessage =>
  receivedWith(token, {
    payload: secretMessage.payload,
    headers: secretMessage.headers,
    origin: `exchange ${HOSTILE}`,
    ...overrides,
  })
const claims = (changed: Record<string, unknown>): ReceivedMessage =>
  withToken(tokenOf({ message: secretMessage, claims: changed }))

type Refusal = [string, ReceivedMessage, Parameters<typeof verifierFor>[0]?]
const REFUSALS: Refusal[] = [
  ['duplicated', withToken([good, good])],
  ['oversize', withToken(`${good}${good.repeat(20)}`)],
  ['malformed', withToken(`${good}=`)],
  ['another version', withToken(tokenOf({ header: { typ: `queueauth-v2${HEADER}` } }))],
  ['malformed claims', claims({ iss: HEADER + HOSTILE })],
  ['unknown key', withToken(tokenOf({ message: secretMessage, algorithm: 'ES256' }))],
  ['algorithm', withToken(tokenOf({ message: secretMessage, header: { alg: HEADER } }))],
  ['signature', withToken(`${good.slice(0, -8)}AAAAAAAA`)],
  ['service', claims({ iss: 'somebody-else' })],
  ['queue', withToken(good, { queue: `q${HOSTILE}` })],
  ['destination', withToken(good, { deliveredBy: [`amqp:${HOSTILE}`] })],
  ['future', claims({ iat: NOW + 900 })],
  ['age', claims({ iat: 1 })],
  ['deadline', claims({ exp: 1 })],
  ['body', withToken(good, { payload: Buffer.from(`${BODY}!`) })],
  ['headers', withToken(good, { headers: { tenant: `${HEADER}!`, 'queueauth-x': HEADER } })],
  ['a header value nobody can sign', withToken(good, { headers: { tenant: new Date(0) as never, table: HEADER } })],
  ['store', withToken(good), { replay: Object.assign(new ScriptedStore(), { begin: failing }) }],
  ['reused', withToken(good), { replay: Object.assign(new ScriptedStore(), { begin: () => 'reused' }) }],
  ['duplicate', withToken(good), { replay: Object.assign(new ScriptedStore(), { begin: () => 'duplicate' }) }],
  ['keys', withToken(good), { keys: new ChangingKeys(undefined) }],
  [
    'revoked',
    withToken(good),
    {
      keys: Object.assign(new ChangingKeys(undefined), {
        snapshot: { ...keysOf(lineOf()).snapshot, isRevoked: () => true },
      }) as never,
    },
  ],
  [
    'clock',
    withToken(good),
    {
      clock: Object.assign(new ManualClock(), {
        monotonic: (
          (n) => () =>
            (n += 1e9)
        )(0),
      }),
    },
  ],
]

describe('no token, key, body or header text in whatever the library says', () => {
  it.each<Refusal>(REFUSALS)('%s', async (_, received, options) => {
    await listenTo(received, options)
    const text = said.join('\n')
    expect(text).not.toBe('')
    for (const secret of secretsOf(privateKeyFor('Ed25519'), good)) expect(text).not.toContain(secret)
    for (const secret of secretsOf(other, typeof received.token === 'string' ? received.token : good))
      expect(text).not.toContain(secret)
  })

  it('whatever the token, queue and addresses, details are short and printable ASCII', () => {
    const verifier = verifierFor()
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.string({ unit: 'binary', maxLength: 300 }),
        (one, two) => {
          for (const received of [
            withToken(one),
            withToken(good, { queue: one }),
            withToken(good, { deliveredBy: [two] }),
            claims({ aud: one }),
            claims({ iss: two }),
          ]) {
            const rejection = rejectionOf(() => verifier.verify(received))
            expect(rejection?.detail).toMatch(/^[ -~]{1,1500}$/)
          }
        },
      ),
    )
  })

  it('errors of a signer tell neither key nor value', () => {
    const key = privateKeyFor('Ed25519')
    const signer = Signer.fromKey(key, { service: 'checkout' })
    const attempts = [
      () => signer.sign({ ...secretMessage, headers: { tenant: [HEADER, new Date(0)] as never } }),
      () => signer.sign({ ...secretMessage, headers: { tenant: `${HEADER}\ud800` } }),
      () => signer.sign({ ...secretMessage, headers: { 'queueauth-x': HEADER } }),
      () => signer.sign({ ...secretMessage, destination: 'none' }),
      () => Signer.fromKey(key, { service: 'check out' }),
      () => Signer.fromKey(key, { service: 'checkout', algorithm: 'RS256' }),
      () =>
        Signer.fromKey(`${key.export({ format: 'pem', type: 'pkcs8' }).toString().slice(0, -30)}`, {
          service: 'checkout',
        }),
    ]
    const texts = attempts.map((attempt) => {
      const error = setupErrorOf(attempt)
      return `${error?.message} ${error?.stack} ${JSON.stringify(error)}`
    })
    expect(texts.every((text) => !text.startsWith('undefined'))).toBe(true)
    const pem = key.export({ format: 'pem', type: 'pkcs8' }).toString().split('\n')[1] as string
    for (const secret of [...secretsOf(key, good), pem.slice(0, 40)]) expect(texts.join('\n')).not.toContain(secret)
  })
})
