import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CommandLike } from '../../../adapters/redis-streams/client.ts'
import { pagesOf, parseAck, parseClaim, parseReadGroup, replyOf } from '../../../adapters/redis-streams/reads.ts'
import { parseXadd } from '../../../adapters/redis-streams/xadd.ts'

const words = (text: string): string[] => text.split(' ')

describe('XADD', () => {
  it.each([
    ['s * a 1', 2],
    ['s 5 a 1', 2],
    ['s 5-* a 1', 2],
    ['s 5-6 a 1 b 2', 2],
    ['s NOMKSTREAM * a 1', 3],
    ['s nomkstream MaxLen 10 * a 1', 5],
    ['s MAXLEN ~ 10 LIMIT 5 * a 1', 7],
    ['s MINID = 5-0 * a 1', 5],
    ['s * MAXLEN 10', 2],
    // Redis 8.2
    ['s KEEPREF MAXLEN 10 * a 1', 5],
    ['s DELREF * a 1', 3],
    ['s ACKED * a 1', 3],
    // Redis 8.6
    ['s NOMKSTREAM IDMP producer 77 * a 1', 6],
  ])('%s: fields from %i', (text, fields) => {
    expect(parseXadd(words(text))).toEqual({ key: 's', fields })
    expect(parseXadd(words(text).map((word) => Buffer.from(word)))).toMatchObject({ fields })
  })

  it.each([
    ['s IDMPAUTO producer * a 1', 'idmpauto'],
    ['s FUTURE * a 1', 'unknown'],
    ['s - a 1', 'unknown'],
    ['s + a 1', 'unknown'],
    ['s 5-6-7 a 1', 'unknown'],
    ['s ** a 1', 'unknown'],
    ['s * a', 'incomplete'],
    ['s * a 1 b', 'incomplete'],
    ['s MAXLEN 10 NOMKSTREAM', 'incomplete'],
    ['s', 'incomplete'],
  ])('%s: %s', (text, fault) => {
    expect(parseXadd(words(text))).toBe(fault)
  })

  it('takes nothing but names and values for fields, whatever the options', () => {
    const options = fc.shuffledSubarray([
      ['NOMKSTREAM'],
      ['KEEPREF'],
      ['MAXLEN', '~', '5'],
      ['LIMIT', '3'],
      ['IDMP', 'p', 'i'],
    ])
    const fields = fc.array(fc.tuple(fc.string(), fc.string()), { minLength: 1 })
    fc.assert(
      fc.property(options, fc.constantFrom('*', '1', '1-1', '1-*'), fields, (given, id, pairs) => {
        const args = ['key', ...given.flat(), id, ...pairs.flat()]
        expect(parseXadd(args)).toEqual({ key: 'key', fields: 2 + given.flat().length })
      }),
    )
  })
})

describe('XREADGROUP', () => {
  it('names its group, its streams with their ids, and how long it blocks', () => {
    expect(parseReadGroup(words('GROUP g c COUNT 5 BLOCK 100 CLAIM 50 STREAMS a b > 0'))).toEqual({
      group: 'g',
      blockIndex: 6,
      streams: [
        { key: 'a', idIndex: 12 },
        { key: 'b', idIndex: 13 },
      ],
    })
    expect(parseReadGroup(words('group g STREAMS streams a 0'))).toMatchObject({ group: 'g', streams: [{ key: 'a' }] })
  })

  it.each([
    ['GROUP g c NOACK STREAMS a >', 'no-ack'],
    ['noack GROUP g c STREAMS a >', 'no-ack'],
    ['GROUP g c PEEK STREAMS a >', 'unknown'],
    ['GROUP g c STREAMS a b >', undefined],
    ['STREAMS a >', undefined],
    ['GROUP g c', undefined],
  ])('%s: %s', (text, fault) => {
    expect(parseReadGroup(words(text))).toBe(fault)
  })

  it('is read and written alike in the three shapes of its reply', () => {
    const entries = [[Buffer.from('1-0'), [Buffer.from('a'), Buffer.from('1')]]]
    const pages = [
      { key: 'a', entries },
      { key: 'b', entries: [] },
    ]
    for (const shape of ['pairs', 'flat', 'map'] as const) {
      expect(pagesOf(replyOf(pages, shape), shape)).toEqual(pages)
      expect(pagesOf(null, shape)).toBe(undefined)
      expect(pagesOf(Buffer.from('QUEUED'), shape)).toBe(undefined)
    }
  })
})

describe('the other commands of groups', () => {
  it.each([
    ['xack', 's g 1-0 2-0', 2],
    ['XACK', 's g 1-0', 2],
    ['xackdel', 's g IDS 2 1-0 2-0', 4],
    ['XACKDEL', 's g KEEPREF IDS 1 1-0', 5],
  ])('%s %s: ids from %i', (name, text, firstId) => {
    expect(parseAck({ name, args: words(text) } as CommandLike)).toEqual({ key: 's', group: 'g', firstId })
  })

  it('a claim with JUSTID shows no content', () => {
    expect(parseClaim(words('s g c 0 1-0'))).toEqual({ key: 's', group: 'g', justIds: false })
    expect(parseClaim(words('s g c 0 0-0 COUNT 5 justid'))).toMatchObject({ justIds: true })
    expect(parseClaim(['s'])).toBe(undefined)
  })
})
