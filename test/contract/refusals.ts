import { describe, expect, it } from 'vitest'
import type { OnRejected } from '../../src/consumer-options.ts'
import { type DeadLetter, originalHeaderName } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import { REJECT_CODES } from '../../src/reasons.ts'
import { senderOf, verdictOf } from '../../src/verdict.ts'
import { eventually } from '../eventually.ts'
import { type Forgery, forgeries } from './forgeries.ts'
import type { Features, Harness, TestMessage } from './harness.ts'
import { shop, stranger } from './keys.ts'
import { bytesOf, openScene, settlements, text } from './scene.ts'

/** Where a message differs cannot be told in a batch; a planted header can be told everywhere. */
function batchOnly({ headersInBody }: Features): string[] {
  return headersInBody ? ['body-mismatch'] : ['body-mismatch', 'headers-mismatch']
}

export function refusalTests(harness: Harness, features: Features): void {
  const all = forgeries(harness, features)

  it('are tried for every reason that one token can have', () => {
    const others = harness.batch ? batchOnly(features) : ['proof-invalid']
    expect(new Set(all.map(({ code }) => code))).toEqual(new Set(REJECT_CODES.filter((code) => !others.includes(code))))
  })

  const answers = ['dead-letter', ...(features.brokerDeadLetters ? ['reject' as const] : []), 'acknowledge'] as const

  if (!features.brokerDeadLetters) {
    it("are not left to a broker without dead-lettering of its own: 'reject' is refused", async () => {
      const scene = await openScene(harness)
      const consuming = scene.consume({ options: { onRejected: 'reject' } })
      await expect(consuming).rejects.toMatchObject({ code: 'option-invalid' })
    })
  }

  describe.each(all.map((forgery) => [forgery.code, forgery] as const))('%s', (code, forgery) => {
    it.for(answers)('%s', async (onRejected, { skip }) => {
      skip(forgery.needs !== undefined && !features[forgery.needs], `the transport has no ${forgery.needs}`)
      const scene = await openScene(harness)
      const messages = forgery.make(scene.destination)
      const bad = messages.at(-1) as TestMessage
      const goods = messages.slice(0, -1).map(({ payload }) => text(payload))
      const before = Date.now()
      const consumer = await scene.consume({ options: { onRejected } })
      await scene.attack(...messages)
      await scene.settled()
      const how = onRejected === 'reject' ? 'reject' : 'ack'
      // A rejected one may be settled before good ones that came earlier.
      const expected = [...goods.map((good) => `ack ${good}`), `${how} ${text(bad.payload)}`].sort()
      await eventually(() => expect(settlements(consumer).sort()).toEqual(expected))
      // One more message on the same client: nothing was settled twice, and the client lives.
      await scene.settled()
      expect(settlements(consumer).sort()).toEqual(expected)
      expect(scene.handled).toEqual(goods)
      expect(scene.refusals).toEqual([code])
      if (onRejected === 'dead-letter') {
        const [letter] = (await scene.deadLetters(1)) as [TestMessage]
        expectComplete(letter, bad)
        expectExplained(letter, forgery, harness.policyName?.(scene.queue) ?? scene.queue, before)
        return
      }
      expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
      if (onRejected === 'reject') {
        const refused = await eventually(async () => {
          const taken = await harness.take(harness.brokerDeadLetterQueueOf(scene.queue))
          expect(taken).toHaveLength(1)
          return taken[0] as TestMessage
        })
        expectComplete(refused, bad)
        expect(Object.keys(refused.headers ?? {}).filter((name) => name.startsWith('queueauth-'))).toEqual([])
      }
    })
  })

  it('are decided by onRejected for each message, and by dead-lettering where it throws', async () => {
    const scene = await openScene(harness)
    const onRejected = ({ code }: { code: string }): OnRejected => {
      if (code === 'token-missing') return 'acknowledge'
      throw new Error('a bug')
    }
    const consumer = await scene.consume({ options: { onRejected } })
    await scene.attack({ payload: Buffer.from('missing') }, forged('malformed'))
    await eventually(() => expect(settlements(consumer).sort()).toEqual(['ack malformed', 'ack missing']))
    const [letter] = (await scene.deadLetters(1)) as [TestMessage]
    expect(text(letter.payload)).toBe('malformed')
  })

  it('gain nothing from headers that look like an explanation; they are renamed', async () => {
    const scene = await openScene(harness)
    await scene.consume()
    const planted = { 'queueauth-reason': 'none', 'queueauth-service': 'shop', 'queueauth-fingerprint': 'SHA256:x' }
    const good = scene.sign('with a valid token')
    await scene.attack(
      { ...good, headers: { ...good.headers, ...planted } },
      { payload: Buffer.from('x'), headers: planted },
    )
    const letters = await scene.deadLetters(2)
    expect(scene.handled).toEqual([])
    expect(letters.map((letter) => String(letter.headers?.['queueauth-reason'])).sort()).toEqual([
      'headers-mismatch',
      'token-missing',
    ])
    for (const { headers = {} } of letters) {
      for (const [name, value] of Object.entries(planted)) {
        expect(String(headers[originalHeaderName(name)])).toBe(value)
      }
      const signed = String(headers['queueauth-reason']) === 'headers-mismatch'
      expect(headers['queueauth-fingerprint'] && String(headers['queueauth-fingerprint'])).toBe(
        signed ? shop.signer.fingerprint : undefined,
      )
    }
  })

  it('leave a forged token as it is, also when the client is wrapped as a producer', async () => {
    const scene = await openScene(harness)
    const strangers = await harness.openProducer(stranger.signer)
    await scene.consume({ signer: shop.signer })
    await scene.attack(forged('forged'), { payload: Buffer.from('unsigned') })
    strangers.publish(scene.queue, { payload: Buffer.from('by a stranger') })
    await strangers.flush()
    await strangers.close()
    const letters = await scene.deadLetters(3)
    const tokens = new Map(letters.map(({ payload, headers }) => [text(payload), headers?.[TOKEN_HEADER]]))
    expect(String(tokens.get('forged'))).toBe('not a token')
    expect(tokens.get('unsigned')).toBeUndefined()
    const [header = ''] = String(tokens.get('by a stranger')).split('.')
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toMatchObject({ kid: stranger.signer.keyId })
  })

  it('go where the deadLetter option says instead', async () => {
    const scene = await openScene(harness)
    const letters: DeadLetter[] = []
    const deadLetter = async (letter: DeadLetter): Promise<void> => {
      letters.push(letter)
      if (letters.length === 1) throw new Error('down')
    }
    const consumer = await scene.consume({ options: { deadLetter } })
    await scene.attack(forged('forged'))
    await eventually(() => expect(settlements(consumer)).toEqual(['ack forged']))
    const queue = harness.policyName?.(scene.queue) ?? scene.queue
    expect(letters).toMatchObject([
      { reason: 'token-malformed', queue },
      { reason: 'token-malformed', queue },
    ])
    expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
  })

  it('that cannot be dead-lettered stop nobody else, and stay unsettled until they can be', async ({ skip }) => {
    skip(features.ordered === true, 'the transport settles in order')
    const scene = await openScene(harness)
    await harness.breakDeadLetters(scene.queue)
    const consumer = await scene.consume()
    await scene.attack(forged('forged 1'))
    await scene.send('good')
    await scene.attack(forged('forged 2'))
    await scene.settled()
    expect(scene.handled).toEqual(['good'])
    await eventually(() => expect(settlements(consumer)).toEqual(['ack good']))
    await harness.repairDeadLetters(scene.queue)
    const letters = await scene.deadLetters(2)
    expect(letters.map(({ payload }) => text(payload)).sort()).toEqual(['forged 1', 'forged 2'])
    await eventually(() => expect(settlements(consumer).sort()).toEqual(['ack forged 1', 'ack forged 2', 'ack good']))
  })

  it('are only reported where the policy observes', async () => {
    const scene = await openScene(harness, { rollout: 'observe' })
    const consumer = await scene.consume()
    await scene.attack(forged('forged'), scene.sign('signed'))
    await scene.settled()
    expect(scene.handled).toEqual(['forged', 'signed'])
    await eventually(() => expect(settlements(consumer)).toEqual(['ack forged', 'ack signed']))
    expect(scene.refusals).toEqual(['token-malformed'])
    const [bad, good] = scene.deliveries.map(({ message }) => message) as [object, object]
    expect([verdictOf(bad), senderOf(bad)]).toMatchObject([{ code: 'token-malformed' }, undefined])
    expect(senderOf(good)?.service).toBe('shop')
    expect(String(scene.deliveries[0]?.headers['x-foreign'])).toBe('kept')
  })

  it('spare unsigned messages until acceptUnsignedUntil, but no bad token', async () => {
    const scene = await openScene(harness, { acceptUnsignedUntil: new Date(Date.now() + 3_600_000) })
    await scene.consume()
    await scene.attack({ payload: Buffer.from('unsigned'), headers: { 'x-foreign': 'kept' } }, forged('forged'))
    await scene.settled()
    expect(scene.handled).toEqual(['unsigned'])
    expect(scene.refusals).toEqual(['unsigned', 'token-malformed'])
    const [delivered] = scene.deliveries
    const message = delivered?.message as object
    expect([verdictOf(message), senderOf(message)]).toEqual([{ outcome: 'unsigned' }, undefined])
    expect(String(delivered?.headers['x-foreign'])).toBe('kept')
    await scene.deadLetters(1)
  })
}

function forged(body: string): TestMessage {
  return { payload: Buffer.from(body), headers: { queueauth: 'not a token', 'x-foreign': 'kept' } }
}

/** Everything the message came with is there, byte for byte and by value; nothing but our explanations was added. */
function expectComplete(letter: TestMessage, sent: TestMessage): void {
  expect(text(letter.payload)).toBe(text(sent.payload))
  const { headers = {} } = letter
  const foreign = Object.entries(headers).filter(([name]) => name === TOKEN_HEADER || !isReservedHeader(name))
  // What a broker writes itself when it dead-letters.
  const kept = foreign.filter(([name]) => !/^x-(?:first-|last-)?death/.test(name))
  const own = Object.entries(sent.headers ?? {}).filter(([name]) => name === TOKEN_HEADER || !isReservedHeader(name))
  expect(bytesOf(Object.fromEntries(kept))).toEqual(bytesOf(Object.fromEntries(own)))
  expect(bytesOf({ ...letter.properties })).toEqual(bytesOf({ ...sent.properties }))
}

function expectExplained(letter: TestMessage, forgery: Forgery, queue: string, before: number): void {
  const explanation = Object.fromEntries(
    Object.entries(letter.headers ?? {}).map(([name, value]) => [name.replace('queueauth-', ''), String(value)]),
  )
  const { names, service, fingerprint } = forgery
  expect(explanation).toMatchObject({ reason: forgery.code, queue })
  expect(explanation.detail).toMatch(/^[ -~]{10,300}$/)
  expect(explanation.detail).not.toContain(String(letter.headers?.[TOKEN_HEADER]))
  const at = Date.parse(explanation.at as string)
  expect(at).toBeGreaterThanOrEqual(before)
  expect(at).toBeLessThanOrEqual(Date.now())
  expect(explanation.fingerprint).toBe(names === 'nobody' ? undefined : fingerprint)
  expect(explanation.service).toBe(names === 'the service' ? service : undefined)
}
