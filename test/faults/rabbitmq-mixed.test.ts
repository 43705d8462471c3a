import { randomBytes } from 'node:crypto'
import type { ConfirmChannel, ConsumeMessage, GetMessage } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, REJECT_CODES, Signer, senderOf, Verifier } from '../../src/index.ts'
import type { RejectCode } from '../../src/reasons.ts'
import { type HandKey, type HandMessage, handKey, handSign } from './hand-signed.ts'
import { report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')
const EACH_SIDE = 5_000

/** A proof belongs to a batch token: one that stands alone cannot have a bad one. */
const CODES = REJECT_CODES.filter((code) => code !== 'proof-invalid')

/** A message as it is published. */
interface Draft extends HandMessage {
  readonly body: Buffer
  /** with the token, whatever it is */
  readonly sent: Readonly<Record<string, unknown>>
  /** undefined: a good one */
  readonly reason: RejectCode | undefined
}

describe.skipIf(url === undefined)('RabbitMQ: good and bad messages in one queue', () => {
  let scene: Scene

  beforeAll(() => {
    scene = new Scene(url as string)
  })
  afterAll(() => scene.end())

  it('10,000 messages: each is handled or dead-lettered, in order, unaltered and with the right reason', async () => {
    const queue = await scene.queue('mixed')
    const signer = Signer.generate('checkout')
    const keys = { right: handKey(), revoked: handKey(), early: handKey(), late: handKey(), elsewhere: handKey() }
    const authorized = AuthorizedKeys.parse(
      [
        signer.authorizedKeysLine(queue),
        `checkout queues="${queue}" ${keys.right.line}`,
        `checkout queues="${queue}" ${keys.revoked.line}`,
        `checkout queues="${queue}",valid-after="2999-01-01" ${keys.early.line}`,
        `checkout queues="${queue}",valid-before="2020-01-01" ${keys.late.line}`,
        `checkout queues="not-${queue}" ${keys.elsewhere.line}`,
      ].join('\n'),
      { revokedKeys: keys.revoked.line },
    )
    const drafts = mix(queue, keys)

    const channel = await (await scene.connection()).createConfirmChannel()
    const plainly = channel.publish.bind(channel)
    wrapProducer(channel, signer)
    for (const draft of drafts) send(channel, plainly, queue, draft)
    await channel.waitForConfirms()

    const handled: ConsumeMessage[] = []
    const verdicts = { authorized: 0, rejected: 0 }
    const guarded = wrapConsumer(await scene.connection(), new Verifier({ keys: authorized }), {
      onVerdict: ({ outcome }) => verdicts[outcome as keyof typeof verdicts]++,
    })
    const consumer = await guarded.createChannel()
    await consumer.prefetch(500)
    await consumer.consume(queue, (message) => {
      if (message === null) return
      handled.push(message)
      consumer.ack(message)
    })
    const good = drafts.filter(({ reason }) => reason === undefined)
    const bad = drafts.filter(({ reason }) => reason !== undefined)
    const letters: GetMessage[] = []
    await expect
      .poll(async () => {
        letters.push(...(await scene.drain(`${queue}.dlq`)))
        return [handled.length, letters.length]
      })
      .toEqual([good.length, bad.length])
    expect(await scene.waiting(queue)).toBe(0)
    expect(await scene.waiting(`${queue}.dlq`)).toBe(0)

    expect(verdicts).toEqual({ authorized: good.length, rejected: bad.length })
    expect(handled.map(nameOf)).toEqual(good.map(nameOfDraft))
    for (const [index, { content }] of handled.entries()) {
      if (!content.equals(good[index]?.body as Buffer)) expect.fail(`the body of message ${index} was altered`)
    }
    expect(new Set(handled.map((message) => senderOf(message)?.service))).toEqual(new Set(['checkout']))

    const byName = new Map(bad.map((draft) => [nameOfDraft(draft), draft]))
    const reasons = new Map<string, number>()
    for (const letter of letters) {
      const draft = byName.get(nameOf(letter))
      byName.delete(nameOf(letter))
      if (draft === undefined) expect.fail(`there is no bad message ${nameOf(letter)}, or it is here twice`)
      expect(asSent(letter)).toEqual({
        reason: draft.reason,
        body: draft.body,
        headers: draft.sent,
        ...draft.properties,
      })
      reasons.set(draft.reason as string, (reasons.get(draft.reason as string) ?? 0) + 1)
    }
    expect(byName.size).toBe(0)
    expect([...reasons.keys()].sort()).toEqual([...CODES].sort())
    report('mixed', { published: drafts.length, handled: handled.length, 'dead-lettered': letters.length })
    report('reasons', Object.fromEntries(reasons))
  })
})

/** Good and bad ones in an order of chance. A reused id comes behind the message whose id it is. */
function mix(queue: string, keys: Record<'right' | 'revoked' | 'early' | 'late' | 'elsewhere', HandKey>): Draft[] {
  const drafts: Draft[] = []
  const reused: (Draft & { readonly jti: string })[] = []
  const left = { good: EACH_SIDE, bad: EACH_SIDE }
  for (let number = 0; left.good + left.bad > 0; number++) {
    const isGood = Math.random() * (left.good + left.bad) < left.good
    const message = draftMessage(queue, number)
    left[isGood ? 'good' : 'bad']--
    if (!isGood) {
      const before = reused.shift()
      const code = before === undefined ? (CODES[number % CODES.length] as RejectCode) : 'token-id-reused'
      if (code !== 'token-id-reused') drafts.push(spoil(message, code, keys))
      else if (before !== undefined) {
        drafts.push({ ...message, ...signed(keys.right, message, code, { claims: { jti: before.jti } }) })
      } else left.bad++
    } else if (number % 40 === 0) {
      const jti = randomBytes(16).toString('base64url')
      const draft = { ...message, ...signed(keys.right, message, undefined, { claims: { jti } }) }
      drafts.push(draft)
      reused.push({ ...draft, jti })
    } else drafts.push({ ...message, sent: wireHeaders(message), reason: undefined })
  }
  return drafts
}

function draftMessage(queue: string, number: number): HandMessage {
  return {
    destination: `amqp:/${queue}`,
    // Not UTF-8, and empty now and then.
    body: number % 97 === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0xff, 0xfe, 0x00), randomBytes(number % 200)]),
    properties: { type: 'order', contentType: 'application/octet-stream', messageId: `m-${number}` },
    headers: { tenant: `acme-${number % 7}` },
  }
}

/** Besides what is signed: every kind of value a table can hold. */
function wireHeaders({ headers }: HandMessage): Record<string, unknown> {
  return { ...headers, flags: [true, false, null], depth: { table: { bytes: Buffer.of(0, 255), number: -1.5 } }, n: 7 }
}

function signed(
  key: HandKey,
  message: HandMessage,
  reason: RejectCode | undefined,
  wrong: Parameters<typeof handSign>[2] = {},
): Pick<Draft, 'sent' | 'reason'> {
  return withToken(message, handSign(key, message, wrong), reason)
}

function withToken(
  message: HandMessage,
  token: unknown,
  reason: RejectCode | undefined,
): Pick<Draft, 'sent' | 'reason'> {
  return { sent: { ...wireHeaders(message), queueauth: token }, reason }
}

/** Right but for the one thing that the reason is about. */
function spoil(message: HandMessage, reason: RejectCode, keys: Parameters<typeof mix>[1]): Draft {
  const { right } = keys
  const now = Math.floor(Date.now() / 1000)
  const token = handSign(right, message)
  const as = (key: HandKey, wrong: Parameters<typeof handSign>[2] = {}): Draft => ({
    ...message,
    ...signed(key, message, reason, wrong),
  })
  const having = (value: unknown): Draft => ({ ...message, ...withToken(message, value, reason) })
  switch (reason) {
    case 'token-missing':
      return { ...message, sent: wireHeaders(message), reason }
    case 'token-duplicated':
      return having([token, handSign(right, message)])
    case 'token-oversize':
      return having(`${token}${'A'.repeat(9_000)}`)
    case 'token-malformed':
      return having(`${token}=`)
    case 'version-unsupported':
      return as(right, { header: { typ: 'queueauth-v9+jwt' } })
    case 'key-unknown':
      return as(handKey())
    case 'key-revoked':
      return as(keys.revoked)
    case 'key-not-yet-valid':
      return as(keys.early)
    case 'key-expired':
      return as(keys.late)
    case 'alg-not-allowed':
      return as(right, { header: { alg: 'RS256' } })
    case 'signature-invalid':
      return having(handSign({ ...handKey(), kid: right.kid }, message))
    case 'service-mismatch':
      return as(right, { claims: { iss: 'billing' } })
    case 'queue-not-authorized':
      return as(keys.elsewhere)
    case 'destination-mismatch':
      return as(right, { claims: { aud: 'amqp:/elsewhere' } })
    case 'body-mismatch':
      return { ...having(token), body: Buffer.concat([message.body, Buffer.of(0)]) }
    case 'headers-mismatch': {
      const draft = having(token)
      return { ...draft, sent: { ...draft.sent, tenant: 'other' } }
    }
    case 'age-exceeded':
      return as(right, { claims: { iat: now - 8 * 86_400 } })
    case 'issued-in-future':
      return as(right, { claims: { iat: now + 3_600 } })
    case 'message-expired':
      return as(right, { claims: { iat: now - 10, exp: now - 5 } })
    default:
      throw new Error(`no message is spoilt to be ${reason}`)
  }
}

/** What has no token and is good goes through the signer; everything else as it is. */
function send(channel: ConfirmChannel, plainly: ConfirmChannel['publish'], queue: string, draft: Draft): void {
  const options = { ...draft.properties, headers: draft.sent, persistent: true }
  if (draft.reason === undefined && draft.sent.queueauth === undefined) channel.sendToQueue(queue, draft.body, options)
  else plainly('', queue, draft.body, options)
}

/** A dead letter without what was added to explain it. */
function asSent(letter: GetMessage): Record<string, unknown> {
  const { type, contentType, messageId } = letter.properties
  const headers = Object.entries(letter.properties.headers ?? {})
  return {
    reason: letter.properties.headers?.['queueauth-reason'],
    body: letter.content,
    headers: Object.fromEntries(headers.filter(([name]) => !name.startsWith('queueauth-'))),
    type,
    contentType,
    messageId,
  }
}

function nameOf(message: GetMessage | ConsumeMessage): string {
  return String(message.properties.messageId)
}

function nameOfDraft({ properties }: Draft): string {
  return properties.messageId as string
}
