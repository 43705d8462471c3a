const { mkdtemp, rm, writeFile } = require('node:fs/promises')
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { setImmediate: turn, setTimeout: sleep } = require('node:timers/promises')
const { AuthorizedKeys, RejectedError, SetupError, Signer, Verifier, address, guardHandler, senderOf, subscribe } =
  require('queue-key-auth')
const { JwsAdapter, JwtKeyAuth, KeyStore } = require('queue-key-auth/jwt-key-auth')
const { MemoryBroker, isWrapped, wrapConsumer, wrapProducer } = require('queue-key-auth/memory')
const { sentBy, testKeys } = require('queue-key-auth/testing')

async function until(condition) {
  while (!(await condition())) await sleep(10)
}

test('a signed message is handled, a forged one is dead-lettered', async () => {
  const { signer, verifier } = testKeys('checkout', 'orders')
  const broker = new MemoryBroker()
  const producer = wrapProducer(broker.connect(), signer)
  const consumer = wrapConsumer(broker.connect(), verifier, { onVerdict: () => undefined })
  const handled = []
  await consumer.consume('orders', (message) => {
    handled.push([senderOf(message)?.service, message.payload.toString()])
    consumer.ack(message)
  })
  producer.publish('orders', Buffer.from('signed'))
  broker.connect().publish('orders', Buffer.from('forged'))
  await turn()
  await turn()
  expect(handled).toEqual([['checkout', 'signed']])
  expect(broker.peek('orders.dlq').map(({ payload }) => payload.toString())).toEqual(['forged'])
  expect(isWrapped(producer, 'producer')).toBe(true)
})

test('errors are instances of their classes and have codes', () => {
  expect(() => wrapProducer({}, Signer.generate('checkout'))).toThrow(SetupError)
  const { verifier } = testKeys('checkout')
  const received = { queue: 'orders', deliveredBy: [], token: undefined, payload: null }
  expect(() => verifier.verify(received)).toThrow(RejectedError)
  expect(() => verifier.verify(received)).toThrow(expect.objectContaining({ code: 'token-missing' }))
})

test('a directory of keys is read and followed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'keys-'))
  const signer = Signer.generate('checkout')
  await writeFile(join(directory, 'authorized_keys'), `${signer.authorizedKeysLine('orders')}\n`, { mode: 0o644 })
  const keys = await AuthorizedKeys.fromDirectory(directory)
  try {
    expect(keys.snapshot.keys.has(signer.keyId)).toBe(true)
    await writeFile(join(directory, 'revoked_keys'), `${signer.fingerprint}\n`, { mode: 0o644 })
    await until(() => keys.snapshot.isRevoked(keys.snapshot.keys.get(signer.keyId)))
  } finally {
    keys.close()
    await rm(directory, { recursive: true })
  }
})

test('a JWK Set is fetched', async () => {
  const { generateKeyPairSync } = require('node:crypto')
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const jwk = { ...publicKey.export({ format: 'jwk' }), service: 'checkout' }
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const keys = await AuthorizedKeys.fromJwks(`http://127.0.0.1:${server.address().port}/`, { orders: ['checkout'] })
  try {
    expect(keys.snapshot.keys.has(Signer.fromKey(privateKey, { service: 'checkout' }).keyId)).toBe(true)
  } finally {
    keys.close()
    await new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  }
})

test('guardHandler waits for a promise of Node’s own', async () => {
  const { signer, keys } = testKeys('checkout')
  const destination = address('http', 'orders')
  const payload = Buffer.from('signed')
  const message = { queue: 'orders', deliveredBy: [destination], token: signer.sign({ destination, payload }), payload }
  const settled = []
  const stop = subscribe('queue-key-auth:settled', ({ how }) => settled.push(how))
  const verifier = new Verifier({ keys })
  let acknowledged = 0
  // The second is a copy, which is skipped; sleep() is a promise of the realm outside.
  const acknowledge = () => sleep(20).then(() => acknowledged++)
  await guardHandler({ message, acknowledge }, verifier, async () => undefined, { onRejected: 'acknowledge' })
  await guardHandler({ message, acknowledge }, verifier, async () => undefined, { onRejected: 'acknowledge' })
  stop()
  expect([acknowledged, settled]).toEqual([2, ['acknowledged']])
})

test('JSON Web Tokens of a key store are signed and checked', async () => {
  const { generateKeyPairSync } = require('node:crypto')
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const store = new KeyStore()
  await store.add('checkout', Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })))
  await store.addPrivate(Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })))
  const auth = new JwtKeyAuth(new JwsAdapter(), store)
  expect(await auth.verify(await auth.generate('checkout'))).toBe(true)
  expect(await auth.verify('rubbish')).toBe(false)
})

test.each(['rabbitmq', 'kafka', 'redis-streams'])('the adapter %s refuses what is no client', (name) => {
  const adapter = require(`queue-key-auth/${name}`)
  const { signer, verifier } = testKeys('checkout')
  expect(() => adapter.wrapProducer({}, signer)).toThrow(expect.objectContaining({ code: 'client-unsupported' }))
  expect(() => adapter.wrapConsumer({}, verifier)).toThrow(SetupError)
})

test('clients that the test itself has loaded are known for what they are', async () => {
  const { Redis } = require('ioredis')
  const { Kafka, logLevel } = require('kafkajs')
  const redisStreams = require('queue-key-auth/redis-streams')
  const kafka = require('queue-key-auth/kafka')
  const { signer, verifier } = testKeys('checkout')
  const redis = new Redis({ lazyConnect: true })
  const client = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING })
  expect(redisStreams.wrapConsumer(redisStreams.wrapProducer(redis, signer), verifier)).toBe(redis)
  expect(kafka.wrapConsumer(kafka.wrapProducer(client, signer), verifier)).toBe(client)
  for (const wrapped of [redis, client]) {
    expect([isWrapped(wrapped, 'producer'), isWrapped(wrapped, 'consumer')]).toEqual([true, true])
  }
  redis.disconnect()
})

test('the helper for tests of handlers', () => {
  expect(senderOf(sentBy('checkout', {})).service).toBe('checkout')
})

test('the version can be read', () => {
  expect(require('queue-key-auth/package.json').version).toMatch(/^\d+\.\d+\.\d+/)
})
