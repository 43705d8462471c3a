import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, Signer, Verifier } from '../../src/index.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

const url = inject('amqpUrl') as string
const signer = Signer.generate('checkout')

const long = (text: string): string => text.repeat(300)

/** What a stream keeps as it is, as far as a signature goes. */
const KEPT: Readonly<Record<string, unknown>> = {
  text: 'text',
  'no text': '',
  'text of 255 octets': 's'.repeat(255),
  'text of 256 octets': 's'.repeat(256),
  'long text': long('ü€😀'),
  'a small number': 5,
  'a negative number': -300,
  'a number of 64 bits': Number.MAX_SAFE_INTEGER,
  'a fraction': -0.25,
  'a float': { '!': 'float', value: 1.1 },
  'a short': { '!': 'short', value: 7 },
  yes: true,
  no: false,
  null: null,
  'a timestamp': { '!': 'timestamp', value: 1_700_000_000 },
  'bytes of text': Buffer.from('plain'),
  'no bytes': Buffer.alloc(0),
  'many bytes of text': Buffer.from(long('ü')),
}

/** What it drops. */
const DROPPED: Readonly<Record<string, unknown>> = {
  'a table': { a: 1 },
  'an empty table': {},
  'a table in a table': { a: { b: 'c' } },
  'a list': [1, 'a'],
  'an empty list': [],
  'a list of tables': [{ a: 1 }],
}

describe.skipIf(url === undefined)('headers of a message in a stream', () => {
  const at = bench(url)

  async function verdicts(
    headers: Readonly<Record<string, unknown>>,
    name: (what: string) => string = () => 'tried',
    sender: Signer = signer,
  ): Promise<[Record<string, string>, string]> {
    const queue = uniqueName('stream')
    await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'stream' } })
    onTestFinished(async () => {
      await at.raw.deleteQueue(queue)
    })
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), sender)
    for (const [what, value] of Object.entries(headers)) {
      producer.sendToQueue(queue, Buffer.from(what), { headers: { [name(what)]: value, other: 'x' } })
    }
    await producer.waitForConfirms()
    const found: Record<string, string> = {}
    const channel = await wrapConsumer(
      await at.connection(),
      new Verifier({ keys: AuthorizedKeys.parse(sender.authorizedKeysLine('**')) }),
      {
        onVerdict: (verdict, message) => {
          found[message.content.toString()] = 'code' in verdict ? verdict.code : verdict.outcome
        },
      },
    ).createChannel()
    await channel.prefetch(100)
    await channel.consume(queue, (message) => message && channel.ack(message), {
      arguments: { 'x-stream-offset': 'first' },
    })
    await eventually(() => expect(Object.keys(found).sort()).toEqual(Object.keys(headers).sort()))
    return [found, queue]
  }

  function each(headers: Readonly<Record<string, unknown>>, verdict: string): Record<string, string> {
    return Object.fromEntries(Object.keys(headers).map((what) => [what, verdict]))
  }

  it.each(['tried', 'x-tried', 'X-Tried', 'a.name_with-marks'])(
    'are authorized where a stream keeps them: %s',
    async (name) => {
      const [found] = await verdicts(KEPT, () => name)
      expect(found).toEqual(each(KEPT, 'authorized'))
    },
  )

  it('do not match where a stream drops them, and the dead letter says why', async () => {
    const [found, queue] = await verdicts(DROPPED)
    expect(found).toEqual(each(DROPPED, 'headers-mismatch'))
    const letters = await at.letters(queue, Object.keys(DROPPED).length)
    for (const { properties } of letters) {
      expect(properties.headers?.['queueauth-reason']).toBe('headers-mismatch')
      expect(properties.headers?.['queueauth-detail']).toContain('a stream drops tables and lists')
    }
  })

  it('match where those that a stream drops are left unsigned', async () => {
    const { privateKey } = generateKeyPairSync('ed25519')
    const leaving = Signer.fromKey(privateKey, { service: 'checkout', unsignedHeaders: ['tried'] })
    const [found] = await verdicts(DROPPED, undefined, leaving)
    expect(found).toEqual(each(DROPPED, 'authorized'))
  })

  it('do not change with a token of more than 512 octets', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const [found] = await verdicts(KEPT, undefined, Signer.fromKey(privateKey, { service: 'checkout' }))
    expect(found).toEqual(each(KEPT, 'authorized'))
  })
})
