import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deadLetterStreamOf, FORMS } from '../../../adapters/redis-streams/dead-letter-form.ts'
import { encodeFields, textOf, toMessage, toReceived } from '../../../adapters/redis-streams/message.ts'
import { testKeys } from '../../../src/testing.ts'

const { signer, verifier } = testKeys('shop')
const bytes = fc.uint8Array({ maxLength: 12 }).map((array) => Buffer.from(array))
const fieldLists = fc.array(fc.tuple(bytes, bytes), { maxLength: 6 }).map((pairs) => pairs.flat())
const entry = (fields: readonly Buffer[]) => ({ stream: 's', group: 'g', id: '1-0', fields })

describe('fields', () => {
  it('have a body each, which no other list of fields has', () => {
    expect(encodeFields([Buffer.from('ab'), Buffer.from('')]).toString('hex')).toBe(`00000002${'6162'}00000000`)
    fc.assert(
      fc.property(fieldLists, fieldLists, (one, other) => {
        const same = one.length === other.length && one.every((field, index) => field.equals(other[index] as Buffer))
        expect(encodeFields(one).equals(encodeFields(other))).toBe(same)
      }),
    )
  })

  it('verify as they were signed, and with any change they do not', () => {
    fc.assert(
      fc.property(fieldLists, fc.nat(), (fields, at) => {
        const { message } = toMessage('redis:s', fields)
        const token = [Buffer.from('queueauth'), Buffer.from(signer.sign(message))]
        const signed = [...fields, ...token]
        const received = toReceived(entry(signed))
        expect(verifier.verify(received).sender.service).toBe('shop')
        expect(received.body).toEqual(fields)
        const changed = [...signed, Buffer.from('more'), Buffer.from('')]
        expect(() => verifier.verify(toReceived(entry(changed)))).toThrow(
          expect.objectContaining({ code: 'body-mismatch' }),
        )
        if (fields.length < 2) return
        const index = at % fields.length
        const altered = signed.map((field, where) => (where === index ? Buffer.concat([field, Buffer.of(1)]) : field))
        expect(() => verifier.verify(toReceived(entry(altered)))).toThrow()
      }),
      { numRuns: 50 },
    )
  })

  it('count as tokens, as planted headers, or as body', () => {
    const fields = ['queueauth', 'x', 'queueauth', 'y', 'QueueAuth-Reason', 'z', 'queueauthor', 'w'].map((text) =>
      Buffer.from(text),
    )
    const received = toReceived(entry(fields))
    expect(received).toMatchObject({ queue: 's', consumer: 'g', position: '1-0', deliveredBy: ['redis:s'] })
    expect(received.token).toEqual(['x', 'y'])
    expect(Object.keys(received.headers ?? {})).toEqual(['QueueAuth-Reason'])
    expect(received.payload).toEqual(encodeFields(fields.slice(6)))
  })

  it.each([
    ['queueauth', 'old', 'a', '1', 'b', '2'],
    ['a', '1', 'queueauth', 'old', 'b', '2'],
    ['a', '1', 'b', '2', Buffer.from('queueauth'), 'old', 'queueauth', 'older'],
  ])('lose a token that is there already: %o', (...given) => {
    const { message, fields } = toMessage('redis:s', given)
    expect(fields).toEqual(['a', '1', 'b', '2'])
    expect(message).toEqual({ destination: 'redis:s', payload: encodeFields(['a', '1', 'b', '2']) })
  })

  it('are sent as they were signed, whatever becomes of the bytes', () => {
    const [name, value] = [Buffer.from('name'), Buffer.from('value')]
    const { message, fields } = toMessage('redis:s', [name, 'grüße', '', value])
    for (const bytes of [name, value]) bytes.fill(0)
    expect(fields.map(String)).toEqual(['name', 'grüße', '', 'value'])
    expect(encodeFields(fields)).toEqual(message.payload)
  })

  it.each([
    [Buffer.from('ff', 'hex'), undefined],
    ['\ud800', undefined],
    ['grüße', 'grüße'],
    [Buffer.from('grüße'), 'grüße'],
  ])('a key %o is the text %s', (key, text) => {
    expect(textOf(key)).toBe(text)
  })
})

describe('dead letters', () => {
  it.each([
    ['orders', '{orders}:dlq'],
    ['{tenant}.orders', '{tenant}.orders:dlq'],
    ['a{b}c', 'a{b}c:dlq'],
    ['a{}b', '{a{}b}:dlq'],
    ['a}b{c', '{a}b{c}:dlq'],
  ])('of %s go to %s', (key, name) => {
    expect(deadLetterStreamOf(key)).toBe(name)
  })

  it('keep every field, and rename those that pretend to explain', () => {
    const fields = ['a', '1', 'a', '2', 'queueauth', 'token', 'queueauth-reason', 'none'].map((text) =>
      Buffer.from(text),
    )
    const [full, bare, packed] = FORMS.map((make) =>
      make(entry(fields), { 'queueauth-reason': 'r', 'queueauth-detail': 'd' }),
    )
    const kept = ['a', '1', 'a', '2', 'queueauth', 'token', 'queueauth-original-queueauth-reason', 'none']
    expect(full?.map(String)).toEqual([
      ...[...kept, 'queueauth-reason', 'r', 'queueauth-detail', 'd'],
      ...['queueauth-group', 'g', 'queueauth-entry-id', '1-0'],
    ])
    expect(bare?.map(String)).toEqual([...kept, 'queueauth-reason', 'r'])
    expect(packed).toEqual(['queueauth-packed', encodeFields(fields), 'queueauth-reason', 'r'])
  })
})
