import { describe, expect, it } from 'vitest'
import type { KafkaMessage } from '../../../adapters/kafka/client.ts'
import { FORMS } from '../../../adapters/kafka/dead-letter-form.ts'
import { guardEachMessage } from '../../../adapters/kafka/each-message.ts'
import type { KafkaRecord } from '../../../adapters/kafka/index.ts'
import {
  isCut,
  MAX_READ_HEADERS,
  setToken,
  snapshot,
  toMessage,
  toReceived,
  toView,
} from '../../../adapters/kafka/message.ts'
import { Partition } from '../../../adapters/kafka/partition.ts'
import { createDeadLetter, type DeadLetter } from '../../../src/dead-letter.ts'
import { Admission } from '../../../src/guard.ts'
import { testKeys } from '../../../src/testing.ts'
import { unsignedHeaders } from '../../../src/verdict.ts'
import type { Verified } from '../../../src/verified.ts'

const { signer, verifier } = testKeys('checkout')

/** A record as kafkajs decodes it: every text is bytes, and a list stands for several headers, never for one or none. */
function arrived(message: object): KafkaMessage {
  const { key = null, value = null, headers = {} } = message as Record<string, never>
  const bytes = (item: unknown): unknown =>
    Array.isArray(item) ? item.map(bytes) : typeof item === 'string' ? Buffer.from(item) : item
  const sent = Object.entries(headers as object).filter(([, item]) => !Array.isArray(item) || item.length > 0)
  const decoded = Object.fromEntries(
    sent.map(([name, item]) => [name, bytes(Array.isArray(item) && item.length === 1 ? item[0] : item)]),
  )
  return { key: bytes(key), value: bytes(value), headers: decoded, offset: '7', timestamp: '1' } as KafkaMessage
}

function signed(message: object): KafkaMessage {
  const copy = snapshot(message as never)
  setToken(copy, signer.sign(toMessage('kafka:orders', copy)))
  return arrived(copy)
}

function codeOf(message: KafkaMessage): string {
  const result = verifier.check(toReceived('orders', 0, message, 'billing'))
  return 'outcome' in result ? ('code' in result ? result.code : result.outcome) : 'authorized'
}

describe('records', () => {
  it.each([
    ['text', { key: 'k', value: 'v', headers: { a: 'b' } }],
    [
      'bytes',
      { key: Buffer.from('ff', 'hex'), value: new Uint8Array([255, 0]), headers: { a: Buffer.from('fe', 'hex') } },
    ],
    ['no key, no body', { value: null }],
    ['an empty key and body', { key: '', value: '' }],
    [
      'lists, and what is a property',
      { value: 'v', headers: { list: ['1', '2'], 'content-type': 'text/plain', 'content-encoding': 'gzip' } },
    ],
    ['lists of one and of none', { value: 'v', headers: { one: ['1'], none: [], 'content-type': ['text/plain'] } }],
    ['a property given twice', { value: 'v', headers: { 'content-type': ['a', 'b'] } }],
    ['an old token', { value: 'v', headers: { queueauth: 'old' } }],
  ])('verify as they were signed: %s', (_what, message) => {
    expect(codeOf(signed(message))).toBe('authorized')
  })

  it.each<[string, (record: KafkaMessage) => object]>([
    ['an empty key for none', (record) => ({ ...record, key: Buffer.alloc(0) })],
    ['an empty body for none', (record) => ({ ...record, value: Buffer.alloc(0) })],
    ['a content type', (record) => ({ ...record, headers: { ...record.headers, 'content-type': Buffer.from('x') } })],
    [
      'a header once more',
      (record) => ({ ...record, headers: { ...record.headers, a: [Buffer.from('b'), Buffer.from('b')] } }),
    ],
  ])('are refused with %s', (_what, change) => {
    expect(codeOf(change(signed({ value: null, headers: { a: 'b' } })) as KafkaMessage)).toMatch(
      /^(?:body|headers)-mismatch$/,
    )
  })

  it('have one token', () => {
    const { headers, ...record } = signed({ value: 'v' })
    const { queueauth } = headers as { queueauth: Buffer }
    expect(codeOf({ ...record, headers: { queueauth: [queueauth, queueauth] } })).toBe('token-duplicated')
    expect(codeOf({ ...record, headers: { queueauth: null } })).toBe('token-malformed')
    expect(codeOf(record)).toBe('token-missing')
  })

  it('show handlers what was signed, and what nobody signed apart', () => {
    const message = signed({ key: 'k', value: 'v', headers: { a: 'b', 'content-type': 'text/plain' } })
    const more = {
      'x-admin': Buffer.from('true'),
      traceparent: Buffer.from('00-1'),
      'content-encoding': [Buffer.from('a'), Buffer.from('b')],
    }
    const full = { ...message, headers: { ...message.headers, ...more } }
    const received = toReceived('orders', 0, full, 'billing')
    const verified = verifier.check(received) as Verified
    const view = toView(full, received, new Admission({ outcome: 'unsigned' }, verified))
    expect(Reflect.ownKeys(view.headers ?? {}).sort()).toEqual(['a', 'content-type', 'traceparent'])
    expect(Object.keys(unsignedHeaders(view)).sort()).toEqual(['content-encoding', 'x-admin'])
    expect([view.offset, view.timestamp, String(view.key)]).toEqual(['7', '1', 'k'])
    expect(Object.getPrototypeOf(view.headers)).toBe(Object.prototype)
  })

  it('with names that every object inherits are read as they were sent', () => {
    const inherited = ['constructor', 'toString', '__proto__']
    const headers = Object.create(Object.prototype) as object
    for (const name of inherited) {
      // What kafkajs makes of them: it finds something under the name before there is anything.
      const value = [({} as Record<string, unknown>)[name], Buffer.from('sent')]
      Object.defineProperty(headers, name, { value, enumerable: true })
    }
    const received = toReceived('orders', 0, { ...arrived({ value: 'v' }), headers }, undefined)
    expect(Object.getPrototypeOf(received.headers)).toBeNull()
    for (const name of inherited) expect(String(received.headers?.[name])).toBe('sent')
  })

  it('say where they stand and who reads them', () => {
    expect(toReceived('orders', 3, arrived({ value: 'v' }), 'billing')).toMatchObject({
      queue: 'orders',
      deliveredBy: ['kafka:orders'],
      position: 'orders/3/7',
      consumer: 'billing',
    })
  })
})

describe('dead letters', () => {
  it('tell null headers from empty ones, and rename what looks like ours', () => {
    const headers = {
      gone: null,
      list: [Buffer.from('a'), null],
      empty: '',
      'queueauth-reason': 'planted',
      queueauth: 'x',
    }
    const message = arrived({ key: 'k', value: null, headers })
    const rejected = { outcome: 'rejected', code: 'token-malformed', detail: 'because' } as const
    const received = toReceived('orders', 3, message, undefined)
    const letter = createDeadLetter(rejected, received, { topic: 'orders', partition: 3, message })
    const [full, bare, compressed, pointer] = FORMS.map((make) => make(letter))
    const written = full?.message.headers as Record<string, unknown>
    expect(JSON.parse(String(written['queueauth-null-headers']))).toEqual({ gone: [0], list: [1] })
    expect([written.gone, String(written.empty), String(written.queueauth)]).toEqual(['', '', 'x'])
    expect(String(written['queueauth-original-queueauth-reason'])).toBe('planted')
    expect(written).toMatchObject({
      'queueauth-reason': 'token-malformed',
      'queueauth-topic': 'orders',
      'queueauth-partition': '3',
      'queueauth-offset': '7',
    })
    expect([full?.message.value, String(full?.message.key)]).toEqual([null, 'k'])
    expect(Object.keys(bare?.message.headers ?? {})).not.toContain('queueauth-detail')
    expect([full, bare, compressed, pointer].map((form) => form?.compressed)).toEqual([false, false, true, false])
    expect(JSON.parse(String(pointer?.message.value))).toEqual({ topic: 'orders', partition: 3, offset: '7' })
  })
})

describe('a record with very many headers', () => {
  /** Counts what is asked of it. */
  function counted(count: number, rest: object): { headers: object; asked: () => number } {
    let asked = 0
    const target: object = {
      ...Object.fromEntries(Array.from({ length: count }, (_, index) => [`h${index}`, VALUE])),
      ...rest,
    }
    const note = <Result>(result: Result): Result => {
      asked++
      return result
    }
    const headers = new Proxy(target, {
      get: (...args) => note(Reflect.get(...args)),
      has: (...args) => note(Reflect.has(...args)),
      getOwnPropertyDescriptor: (...args) => note(Reflect.getOwnPropertyDescriptor(...args)),
    })
    return { headers, asked: () => asked }
  }
  const VALUE = Buffer.from('x')

  it.each([
    ['a bad token', () => ({ queueauth: Buffer.from('no.to.ken') })],
    ['a captured token', () => signed({ value: 'v' }).headers as object],
    ['no token', () => ({})],
    ['names that every object inherits', () => ({ queueauth: VALUE, constructor: Array(100_000).fill(VALUE) })],
  ])('is judged and dead-lettered by a look at some of them; with %s', async (_what, rest) => {
    const look = async (count: number): Promise<number> => {
      const { headers, asked } = counted(count, rest())
      const letters: DeadLetter<KafkaRecord>[] = []
      const partition = new Partition('orders', 0, {
        verifier,
        options: { onVerdict: () => undefined },
        groupId: () => 'billing',
        leaseSignal: () => new AbortController().signal,
        storeDeadLetter: async (letter) => void letters.push(letter),
      })
      const message = { ...arrived({ value: 'changed' }), headers }
      const heartbeat = async (): Promise<void> => undefined
      const payload = { topic: 'orders', partition: 0, message, heartbeat }
      await guardEachMessage(payload, async () => expect.unreachable(), partition, undefined)
      expect(letters).toHaveLength(1)
      for (const form of FORMS) {
        const { headers: written = {} } = form(letters[0] as DeadLetter<KafkaRecord>).message
        expect(Object.keys(written).length).toBeLessThan(MAX_READ_HEADERS + 20)
        if (!('queueauth-pointer' in written)) expect(Object.keys(written)).toContain('queueauth-headers-cut')
      }
      return asked()
    }
    const few = await look(10_000)
    expect(few).toBeLessThan(40 * MAX_READ_HEADERS)
    expect(await look(100_000)).toBe(few)
  })

  it('shows its token, and as many values of a list as are looked at', () => {
    const list = Array(100_000).fill(VALUE)
    const headers = { list, more: VALUE, queueauth: VALUE }
    const { token, headers: seen = {} } = toReceived('orders', 0, { ...arrived({ value: 'v' }), headers }, undefined)
    expect(token).toBe(VALUE)
    expect([(seen.list as unknown[]).length, 'more' in seen]).toEqual([MAX_READ_HEADERS, false])
    expect([isCut(headers), isCut({ list: list.slice(0, MAX_READ_HEADERS) }), isCut({})]).toEqual([true, false, false])
  })
})
