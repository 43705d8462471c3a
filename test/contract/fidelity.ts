import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { CoveredProperties, HeaderValue } from '../../src/message.ts'
import { senderOf, unsignedHeaders, verdictOf } from '../../src/verdict.ts'
import type { Features, Harness, TestMessage } from './harness.ts'
import { shop } from './keys.ts'
import { bytesOf, openScene } from './scene.ts'

const bodies: readonly (readonly [string, Uint8Array | null])[] = [
  ['not UTF-8', Buffer.from('fffe8000c328', 'hex')],
  ['empty', Buffer.alloc(0)],
  ['of 200,000 bytes', randomBytes(200_000)],
  ['none', null],
]

export function fidelityTests(harness: Harness, features: Features): void {
  describe.each(bodies)('a body that is %s', (_what, payload) => {
    const skipped = payload === null && !features.nullPayload

    it('reaches the handler', async ({ skip }) => {
      skip(skipped, 'the transport has no nullPayload')
      const scene = await openScene(harness)
      await scene.consume()
      await scene.send({ payload })
      await scene.settled()
      expect(scene.deliveries).toHaveLength(1)
      expectSameBody(scene.deliveries[0]?.payload, payload)
    })

    it('reaches the dead letters', async ({ skip }) => {
      skip(skipped, 'the transport has no nullPayload')
      const scene = await openScene(harness)
      await scene.consume()
      await scene.attack({ payload, headers: { queueauth: 'not a token' } })
      const [letter] = await scene.deadLetters(1)
      expectSameBody(letter?.payload, payload)
    })
  })

  it('tells no body from an empty one', async ({ skip }) => {
    skip(!features.nullPayload, 'the transport has no nullPayload')
    const scene = await openScene(harness)
    await scene.consume()
    const [none, empty] = [scene.sign({ payload: null }), scene.sign({ payload: Buffer.alloc(0) })]
    await scene.attack({ ...none, payload: empty.payload }, { ...empty, payload: null })
    await scene.deadLetters(2)
    const code = harness.batch ? 'proof-invalid' : 'body-mismatch'
    expect(scene.refusals).toEqual([code, code])
  })

  it('keeps headers and properties, on the way to the handler and to the dead letters', async () => {
    const scene = await openScene(harness)
    await scene.consume()
    const headers: Record<string, HeaderValue> = {
      text: 'grüße',
      bytes: Buffer.from('ff00fe', 'hex'),
      empty: '',
      ...(features.structuredHeaders && {
        number: -12.5,
        big: 2 ** 40,
        truth: false,
        nothing: null,
        list: ['a', 1, [true]],
        table: { inner: { deep: 'x' }, bytes: Buffer.from('ff', 'hex') },
      }),
    }
    const properties = Object.fromEntries(features.properties.map((name) => [name, `the ${name}`]))
    const message = { payload: Buffer.from('x'), headers, properties }
    await scene.send(message)
    await scene.attack({ ...message, headers: { ...headers, queueauth: 'not a token' } })
    await scene.settled()
    const [letter] = await scene.deadLetters(1)
    const [delivered] = scene.deliveries
    for (const got of [delivered, letter]) {
      const foreign = Object.entries(got?.headers ?? {}).filter(([name]) => !name.startsWith('queueauth'))
      expect(bytesOf(Object.fromEntries(foreign))).toEqual(bytesOf(headers))
      expect(bytesOf({ ...got?.properties })).toEqual(bytesOf(properties))
    }
  })

  it.each(features.properties)('refuses another %s than was signed, or one that was added', async (property) => {
    const scene = await openScene(harness)
    await scene.consume()
    const other: CoveredProperties = { [property]: 'other' }
    const signed = scene.sign({ payload: Buffer.from('x'), properties: { [property]: 'signed' } })
    await scene.attack({ ...signed, properties: other })
    await scene.attack({ ...scene.sign('y'), properties: other })
    await scene.deadLetters(2)
    const code = harness.batch ? 'proof-invalid' : 'headers-mismatch'
    expect(scene.refusals).toEqual([code, code])
  })

  it('hides headers that nobody signed from the handler, and keeps them apart', async ({ skip }) => {
    skip(features.headersInBody === true, 'the transport has headersInBody')
    const scene = await openScene(harness)
    await scene.consume()
    const { payload, headers } = scene.sign({ payload: Buffer.from('x'), headers: { signed: 'yes' } })
    await scene.attack({ payload, headers: { ...headers, 'x-admin': 'true', traceparent: '00-trace' } })
    await scene.settled()
    const [delivered] = scene.deliveries
    const token = features.hidesToken ? [] : ['queueauth']
    expect(Object.keys(delivered?.headers ?? {}).sort()).toEqual([...token, 'signed', 'traceparent'])
    expect(String(unsignedHeaders(delivered?.message as object)['x-admin'])).toBe('true')
    expect(JSON.stringify(delivered?.message)).not.toContain('x-admin')
  })

  it('tells who signed, on the message and on a spread copy', async () => {
    const scene = await openScene(harness)
    await scene.consume()
    const { payload, headers } = scene.sign('x')
    const admin = features.headersInBody ? {} : { 'x-admin': 'true' }
    await scene.attack({ payload, headers: { ...headers, ...admin } })
    await scene.settled()
    const message = scene.deliveries[0]?.message as object
    for (const seen of [message, { ...message }]) {
      expect(senderOf(seen)).toMatchObject({
        service: 'shop',
        keyId: shop.signer.keyId,
        fingerprint: shop.signer.fingerprint,
        destination: scene.destination,
      })
      expect(verdictOf(seen)).toMatchObject({ outcome: 'authorized' })
      expect(Object.keys(unsignedHeaders(seen))).toEqual(expect.arrayContaining(Object.keys(admin)))
    }
  })

  it('publishes in the order of the calls', async () => {
    const scene = await openScene(harness)
    const bodies = numbered(100)
    for (const body of bodies) scene.producer.publish(scene.queue, { payload: Buffer.from(body) })
    await scene.producer.flush()
    const taken: TestMessage[] = []
    await expect.poll(async () => taken.push(...(await harness.take(scene.queue)))).toBe(bodies.length)
    expect(taken.map(({ payload }) => String(payload))).toEqual(bodies)
  })

  it('delivers in the order of the queue', async () => {
    const scene = await openScene(harness)
    const bodies = numbered(100)
    await scene.attack(...bodies.map((body) => scene.sign(body)))
    await scene.consume()
    await scene.settled()
    expect(scene.handled).toEqual(bodies)
  })
}

export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `message ${index}`)
}

function expectSameBody(got: Uint8Array | null | undefined, sent: Uint8Array | null): void {
  if (sent === null || got === null || got === undefined) expect(got).toBe(sent)
  else expect(Buffer.compare(Buffer.from(got), sent)).toBe(0)
}
