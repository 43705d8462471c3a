import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { digestParts, PartsDigester } from '../../src/covered-parts.ts'
import type { CoveredProperties, Headers, HeaderValue } from '../../src/message.ts'
import { setupErrorOf } from './keys/helpers.ts'
import { preimage } from './preimage.ts'

describe('one digester for many messages', () => {
  const fresh = (props: CoveredProperties, table: Headers): string =>
    digestParts(props, table, Object.keys(table).sort())

  it.each<[string, HeaderValue, HeaderValue]>([
    ['bytes', Buffer.from('a'), Buffer.from('b')],
    ['bytes of another length', Buffer.from('a'), Buffer.from('aa')],
    ['bytes and the same text', Buffer.from('a'), 'b'],
    ['text', 'a', 'b'],
    ['numbers', 1, 2],
    ['absent and null', undefined, null],
    ['lists', ['a'], ['b']],
    ['tables', { a: 1 }, { a: 2 }],
  ])('digests each as a fresh one does: %s', (_, one, other) => {
    // One for each, since a digester keeps the last message only.
    const [ofHeaders, ofProperties] = [new PartsDigester('base64url'), new PartsDigester('base64url')]
    for (const h of [one, other, one, one, other]) {
      expect(ofHeaders.digest({ type: 't' }, { h }, ['h'])).toBe(fresh({ type: 't' }, { h }))
      expect(ofProperties.digest({ key: h as string }, {}, [])).toBe(digestParts({ key: h as string }, {}, []))
    }
  })

  it('does not take a change of the very same value for none', () => {
    const digester = new PartsDigester('base64url')
    const [bytes, list, table] = [Buffer.from('a'), ['a'], { a: 'a' } as Record<string, string>]
    const headers = { bytes, list, table }
    const names = ['bytes', 'list', 'table']
    const before = digester.digest({}, headers, names)
    expect(digester.digest({}, headers, names)).toBe(before)
    for (const change of [() => bytes.fill('b'), () => list.push('b'), () => Object.assign(table, { b: 'b' })]) {
      change()
      expect(digester.digest({}, headers, names)).toBe(fresh({}, headers))
    }
    expect(digester.digest({}, headers, names)).not.toBe(before)
  })

  it('does not take a change of the very same bytes for none, nor keep them from being changed', () => {
    const digester = new PartsDigester('base64url')
    const bytes = Buffer.from('a')
    for (const change of ['b', 'b', 'a', 'c']) {
      expect(digester.digest({ key: bytes }, { bytes }, ['bytes'])).toBe(
        digestParts({ key: bytes }, { bytes }, ['bytes']),
      )
      bytes.fill(change)
    }
  })

  it('tells messages apart by every property, by the names, and by how many there are', () => {
    const digester = new PartsDigester('base64url')
    const names = ['key', 'type', 'contentType', 'contentEncoding', 'replyTo', 'correlationId', 'messageId', 'appId']
    const messages = [...names.map((name) => ({ [name]: 'x' })), {}, { type: 'y' }]
    for (const props of messages) expect(digester.digest(props, {}, [])).toBe(digestParts(props, {}, []))
    for (const hs of [['a'], ['b'], ['a', 'b'], [], ['a', 'c'], ['a', 'b']]) {
      const table = Object.fromEntries(hs.map((name) => [name, 'x']))
      expect(digester.digest({}, table, hs)).toBe(digestParts({}, table, hs))
    }
  })

  it('keeps what it had when a message cannot be digested', () => {
    const digester = new PartsDigester('binary')
    const good = digester.digest({}, { h: 'a' }, ['h'])
    expect(setupErrorOf(() => digester.digest({}, { h: new Date(0) as never }, ['h']))?.code).toBe('header-unsupported')
    expect(digester.digest({}, { h: 'a' }, ['h'])).toBe(good)
    expect(good).toBe(hash('sha256', preimage({}, { h: 'a' }, ['h']), 'binary'))
  })
})
