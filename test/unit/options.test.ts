import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as kafka from '../../adapters/kafka/index.ts'
import * as memory from '../../adapters/memory/index.ts'
import * as rabbitmq from '../../adapters/rabbitmq/index.ts'
import * as redis from '../../adapters/redis-streams/index.ts'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import { SetupError } from '../../src/errors.ts'
import { guardHandler } from '../../src/guard-handler.ts'
import { JwsAdapter } from '../../src/jwt-key-auth/index.ts'
import { checkOptions, FLAG, FUNCTION, oneOf } from '../../src/option-check.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { RedisReplayStore } from '../../src/replay/redis-replay-store.ts'
import { Signer } from '../../src/signer.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { receivedWith, tokenOf, verifierFor } from './helpers.ts'
import { privateKeyFor } from './keys/helpers.ts'

const { signer, keys, verifier } = testKeys('checkout')
const key = privateKeyFor('Ed25519')
const store = new MemoryReplayStore()
const jwk = { ...JSON.parse(JSON.stringify(key.export({ format: 'jwk' }))), kid: 'checkout', d: undefined }
const policy = { orders: ['checkout'] }
const aKafka = (): Kafka => new Kafka({ brokers: ['localhost:1'], logLevel: logLevel.NOTHING })
const clients: Redis[] = []
function aRedis(): Redis {
  const client = new Redis({ lazyConnect: true })
  clients.push(client)
  return client
}
const aMemory = (): memory.MemoryClient => new memory.MemoryBroker().connect()
const delivery = () => ({ message: receivedWith(tokenOf()), acknowledge: () => undefined })

let folder = ''
let keyFile = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'qka-options-'))
  keyFile = join(folder, 'key.pem')
  writeFileSync(keyFile, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
})
afterAll(() => {
  rmSync(folder, { recursive: true })
  for (const client of clients) client.disconnect()
})

/** Everything that takes options: how to call it, options that are right, and values that are not. */
interface Subject {
  readonly name: string
  call(options: never): unknown
  readonly good: Readonly<Record<string, unknown>>
  readonly bad: Readonly<Record<string, readonly unknown[]>>
  /** a name that is misspelt, and the one that is meant */
  readonly misspelt: readonly [string, string]
  /** options that must be there */
  readonly required?: Readonly<Record<string, unknown>>
}

const nothing = (): undefined => undefined
const consuming = { deadLetter: async () => undefined, onVerdict: nothing }
const notFunctions = [null, 'x', 1, true, {}]
const badConsuming = {
  onRejected: ['drop', 'Reject', '', null, 1, true, ['reject']],
  deadLetter: notFunctions,
  onVerdict: notFunctions,
}
const named = { ...consuming, deadLetterName: (name: string) => `${name}.dead` }
const badNamed = { ...badConsuming, deadLetterName: notFunctions }
const notFlags = [null, 'true', 1, 0, {}, nothing]
const notSeconds = [0, -1, '5', null, Number.NaN, 2 ** 40, {}]
const signing = { unsignedHeaders: ['x-a'], expiresInSeconds: 5 }
const badSigning = {
  algorithm: ['none', 'HS256', '', null, 1, 'ES256'],
  unsignedHeaders: ['x-a', null, {}, [1], new Set(['x-a'])],
  expiresInSeconds: [0, -1, 1.5, '5', null, Number.POSITIVE_INFINITY],
}
const badPassphrase = { passphrase: [null, 1, {}, [1]] }

const SUBJECTS: Subject[] = [
  {
    name: 'memory wrapProducer',
    call: (options) => memory.wrapProducer(aMemory(), signer, options),
    good: { batch: true },
    bad: { batch: notFlags },
    misspelt: ['batched', 'batch'],
  },
  {
    name: 'memory wrapConsumer',
    call: (options) => memory.wrapConsumer(aMemory(), verifier, options),
    good: { ...named, onRejected: 'reject' },
    bad: badNamed,
    misspelt: ['onReject', 'onRejected'],
  },
  {
    name: 'rabbitmq wrapProducer',
    call: (options) => rabbitmq.wrapProducer({} as never, signer, options),
    good: {},
    bad: { batch: notFlags, preserveToken: notFlags },
    misspelt: ['preserveTokens', 'preserveToken'],
  },
  {
    name: 'rabbitmq wrapConsumer',
    call: (options) => rabbitmq.wrapConsumer({} as never, verifier, options),
    good: {},
    bad: { ...badNamed, queueName: notFunctions, noAck: [true, false, null, 'Drop'], maxHoldSeconds: notSeconds },
    misspelt: ['onRejection', 'onRejected'],
  },
  {
    name: 'kafka wrapProducer',
    call: (options) => kafka.wrapProducer(aKafka(), signer, options),
    good: { batch: true, preserveToken: true },
    bad: { batch: notFlags, preserveToken: notFlags },
    misspelt: ['Batch', 'batch'],
  },
  {
    name: 'kafka wrapConsumer',
    call: (options) => kafka.wrapConsumer(aKafka(), verifier, options),
    good: { ...named, onRejected: () => 'acknowledge' },
    bad: { ...badNamed, onRejected: [...badNamed.onRejected, 'reject'] },
    misspelt: ['deadLetterTopic', 'deadLetter'],
  },
  {
    name: 'redis wrapProducer',
    call: (options) => redis.wrapProducer(aRedis(), signer, options),
    good: { batch: true, streams: ['orders.*'] },
    bad: { batch: notFlags, streams: ['orders', null, [1], {}] },
    misspelt: ['stream', 'streams'],
  },
  {
    name: 'redis wrapConsumer',
    call: (options) => redis.wrapConsumer(aRedis(), verifier, options),
    good: { ...named, onRejected: 'acknowledge' },
    bad: { ...badNamed, onRejected: [...badNamed.onRejected, 'reject'] },
    misspelt: ['onVerdicts', 'onVerdict'],
  },
  {
    name: 'redis consumeStream',
    call: (options) => redis.consumeStream(options),
    good: {},
    required: {
      redis: new Redis({ lazyConnect: true }),
      stream: 's',
      group: 'g',
      consumer: 'c',
      verifier,
      handler: nothing,
      signal: AbortSignal.abort(),
    },
    bad: {
      ...badNamed,
      stream: ['', null, 1],
      group: ['', null, 1],
      consumer: ['', null, 1],
      verifier: [null, {}, 'x'],
      handler: notFunctions,
      startId: ['', '>', 1, null],
      concurrency: [0, 1.5, '1', null],
      blockSeconds: [0, 61, '1', null],
      claimIdleSeconds: [0, Number.POSITIVE_INFINITY, '1', null],
      maxDeliveries: [0, '1', null],
      onError: notFunctions,
      signal: [null, {}, true],
    },
    misspelt: ['concurency', 'concurrency'],
  },
  {
    name: 'guardHandler',
    call: (options) => guardHandler(delivery(), verifierFor(), nothing, options),
    good: { ...consuming, onRejected: 'reject', signal: new AbortController().signal },
    bad: { ...badConsuming, signal: [null, {}, true] },
    misspelt: ['deadletter', 'deadLetter'],
  },
  {
    name: 'new Verifier',
    call: (options) => new Verifier(options),
    required: { keys },
    good: {
      replay: store,
      queues: { orders: { maxAgeSeconds: 5 } },
      maxAgeSeconds: Number.POSITIVE_INFINITY,
      acceptUnsignedUntil: new Date(),
      clockSkewSeconds: 0,
    },
    bad: {
      keys: [null, {}, 'x', nothing],
      replay: [false, null, true, 'on', {}, [], nothing, new Map()],
      queues: [
        null,
        [],
        'orders',
        { orders: null },
        { orders: [] },
        { orders: { maxAge: 5 } },
        { orders: { rollout: 'off' } },
      ],
      rollout: ['Observe', null, true],
      acceptUnsignedUntil: [1, null, 'tomorrow', {}],
      destinations: ['amqp:x/y', [], [1], null],
      maxAgeSeconds: [0, '5', null],
      clockSkewSeconds: [-1, '60', null, Number.POSITIVE_INFINITY],
      leaseSeconds: [0, '30', null, 90_000],
      clock: [null, {}, Date],
    },
    misspelt: ['maxAgeSecond', 'maxAgeSeconds'],
  },
  {
    name: 'Signer.fromKey',
    call: (options) => Signer.fromKey(key, options),
    required: { service: 'checkout' },
    good: { ...signing, algorithm: 'EdDSA', passphrase: 'x' },
    bad: { ...badSigning, ...badPassphrase },
    misspelt: ['unsigned', 'unsignedHeaders'],
  },
  {
    name: 'Signer.fromFile',
    call: async (options) => (await Signer.fromFile(keyFile, options)).close(),
    required: { service: 'checkout' },
    good: { ...signing, pollSeconds: 5, onError: nothing },
    bad: { ...badSigning, ...badPassphrase, pollSeconds: [0, '5', null], onError: notFunctions },
    misspelt: ['algoritm', 'algorithm'],
  },
  {
    name: 'Signer.generate',
    call: (options) => Signer.generate('checkout', options),
    good: { ...signing, algorithm: 'EdDSA' },
    bad: badSigning,
    misspelt: ['expiresIn', 'expiresInSeconds'],
  },
  {
    name: 'AuthorizedKeys.parse',
    call: (options) => AuthorizedKeys.parse(signer.authorizedKeysLine('orders'), options),
    good: { file: 'a', revokedKeys: '', revokedKeysFile: 'b' },
    bad: { file: [1, null], revokedKeys: [Buffer.alloc(0), null], revokedKeysFile: [1, null] },
    misspelt: ['revoked', 'revokedKeys'],
  },
  {
    name: 'AuthorizedKeys.fromDirectory',
    call: async (options) => {
      writeFileSync(join(folder, 'authorized_keys'), signer.authorizedKeysLine('orders'))
      rmSync(keyFile, { force: true })
      ;(await AuthorizedKeys.fromDirectory(folder, options)).close()
    },
    good: { pollSeconds: 5, staleAfterSeconds: 50, cooldownSeconds: 1, expiryNoticeDays: 0, onError: nothing },
    bad: {
      pollSeconds: [0, '5', null],
      staleAfterSeconds: [0, '900', null],
      cooldownSeconds: [0, '5'],
      expiryNoticeDays: [-1, '14', null],
      onError: notFunctions,
    },
    misspelt: ['staleSeconds', 'staleAfterSeconds'],
  },
  {
    name: 'AuthorizedKeys.fromJwks with a set',
    call: (options) => AuthorizedKeys.fromJwks({ keys: [jwk] }, policy, options),
    good: { serviceOf: () => 'checkout' },
    bad: { serviceOf: notFunctions },
    misspelt: ['service', 'serviceOf'],
  },
  {
    name: 'AuthorizedKeys.fromJwks with an address',
    call: (options) => AuthorizedKeys.fromJwks('http://127.0.0.1:1/', policy, options),
    good: {},
    bad: { serviceOf: notFunctions, pollSeconds: [0, '5'], staleAfterSeconds: [0, null], onError: notFunctions },
    misspelt: ['pollSecond', 'pollSeconds'],
  },
  {
    name: 'new MemoryReplayStore',
    call: (options) => new MemoryReplayStore(options),
    good: { maxEntries: 5, now: () => 0 },
    bad: { maxEntries: [1, 2.5, '5', null, 2 ** 25], now: notFunctions },
    misspelt: ['maxEntry', 'maxEntries'],
  },
  {
    name: 'new RedisReplayStore',
    call: (options) => new RedisReplayStore(aRedis(), options),
    good: { keyPrefix: '', timeoutSeconds: 1 },
    bad: { keyPrefix: [null, 1], timeoutSeconds: notSeconds },
    misspelt: ['prefix', 'keyPrefix'],
  },
  {
    name: 'RedisReplayStore.forecast',
    call: (options) => RedisReplayStore.forecast(options),
    good: { messagesPerSecond: 5, maxAgeSeconds: 60 },
    bad: { messagesPerSecond: [0, '5', null], maxAgeSeconds: [0, '5'] },
    misspelt: ['maxAge', 'maxAgeSeconds'],
    required: { messagesPerSecond: 1 },
  },
  {
    name: 'new JwsAdapter',
    call: (options) => new JwsAdapter(options),
    good: { expiresInSeconds: 5, clockSkewSeconds: 0, acceptWithoutExpiry: true },
    bad: { expiresInSeconds: [0, 1.5, '5', null], clockSkewSeconds: [-1, '5'], acceptWithoutExpiry: notFlags },
    misspelt: ['acceptWithoutExpiration', 'acceptWithoutExpiry'],
  },
]

async function errorOf(call: () => unknown): Promise<SetupError | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    if (error instanceof SetupError) return error
    throw error
  }
}

/** Without a client that can be had here, right options get as far as the client. */
const reachable = (subject: Subject): boolean => !/^rabbitmq|an address$/.test(subject.name)

describe.each(SUBJECTS)('$name', (subject) => {
  const call = (options: unknown): Promise<SetupError | undefined> => errorOf(() => subject.call(options as never))
  const { required = {}, good, bad, misspelt } = subject

  it('takes what it should: a literal, an instance of a class, inherited options, those without a prototype', async () => {
    class Options {
      constructor() {
        Object.assign(this, required, good)
      }
    }
    const all = { ...required, ...good }
    for (const options of [all, new Options(), Object.create(all), Object.assign(Object.create(null), all)]) {
      const error = await call(options)
      if (reachable(subject)) expect(error).toBeUndefined()
      else expect(error?.code).not.toBe('option-invalid')
    }
  })

  it('takes what is undefined for absent', async () => {
    const none = Object.fromEntries([...Object.keys(bad), misspelt[0]].map((name) => [name, undefined]))
    const error = await call({ ...none, ...required })
    if (reachable(subject)) expect(error).toBeUndefined()
    else expect(error?.code).not.toBe('option-invalid')
  })

  it.each(Object.entries(bad))('%s of another type or value is refused, and named', async (name, values) => {
    for (const value of values) {
      const error = await call({ ...required, [name]: value })
      expect([value, error?.code]).toEqual([value, 'option-invalid'])
      expect(error?.message).toContain(name)
    }
  })

  it('an unknown name is refused, and the nearest one told', async () => {
    const [wrong, meant] = misspelt
    const inherited = Object.assign(Object.create({ [wrong]: true }), required)
    for (const options of [{ ...required, [wrong]: true }, { ...required, [wrong]: null }, inherited]) {
      const error = await call(options)
      expect(error?.code).toBe('option-invalid')
      expect(error?.message).toContain(`"${wrong}"`)
      expect(error?.message).toContain(`did you mean ${meant}?`)
    }
    const error = await call({ ...required, 'quite-another': true })
    expect(error?.code).toBe('option-invalid')
    for (const name of Object.keys(bad)) expect(error?.message).toContain(name)
  })

  it('what is no object is refused', async () => {
    for (const options of [null, [], [required], nothing, 'x', 1, true, Promise.resolve({}), new Map(), new Date(0)]) {
      const error = await call(options)
      expect(['option-invalid', 'client-unsupported', 'service-invalid']).toContain(error?.code)
    }
  })
})

describe('the check itself', () => {
  interface Options {
    readonly one?: boolean
    readonly two?: () => unknown
    readonly three?: 'a' | 'b'
  }
  const rules = { one: FLAG, two: FUNCTION, three: oneOf('a', 'b') }

  it('gives a copy of what was given, so later changes do not matter', () => {
    const options: { one?: boolean; three?: 'a' } = { one: true }
    const checked = checkOptions<Options>('f', options, rules)
    options.three = 'a'
    expect(checked).toEqual({ one: true })
    expect(checkOptions<Options>('f', undefined, rules)).toEqual({})
  })

  it('methods of a class stay bound to its instance', () => {
    class Mine implements Options {
      readonly #secret = 5
      two(): number {
        return this.#secret
      }
    }
    expect(checkOptions<Options>('f', new Mine(), rules).two?.()).toBe(5)
    const { two } = { two: () => 6 }
    expect(checkOptions<Options>('f', { two }, rules).two).toBe(two)
  })

  it('names of all objects are no options, and what somebody put there does no harm', () => {
    for (const name of ['constructor', 'toString', '__proto__']) {
      const options = JSON.parse(`{"${name}":1}`) as Options
      expect(() => checkOptions('f', options, rules)).toThrow(expect.objectContaining({ code: 'option-invalid' }))
    }
    let checked: Options
    Object.defineProperty(Object.prototype, 'polluted', { value: 1, enumerable: true, configurable: true })
    try {
      checked = checkOptions<Options>('f', { one: true }, rules)
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted')
    }
    expect(checked).toEqual({ one: true })
  })

  it('tells no value, and cuts and escapes a name', () => {
    const error = (options: unknown): string => {
      try {
        checkOptions<Options>('f', options as Options, rules)
        return ''
      } catch (thrown) {
        return (thrown as Error).message
      }
    }
    expect(error({ three: 'hunter2' })).not.toContain('hunter2')
    expect(error({ [`\u001b[31m${'x'.repeat(10_000)}`]: 1 })).toMatch(/^[ -~]{1,300}$/)
  })
})

describe('what a function answers', () => {
  it('onRejected: anything but a choice means a dead letter', async () => {
    for (const answer of ['drop', undefined, null, Promise.resolve('acknowledge')]) {
      const letters: unknown[] = []
      const log: string[] = []
      const options = {
        onRejected: () => answer as never,
        deadLetter: async (letter: unknown) => void letters.push(letter),
      }
      const refused = {
        message: receivedWith('x'),
        acknowledge: () => void log.push('acknowledge'),
        reject: () => void log.push('reject'),
      }
      await guardHandler(refused, verifierFor(), nothing, options)
      expect([letters.length, log]).toEqual([1, ['acknowledge']])
    }
  })
})
