import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkedTable, receivedEntry, receivedTable, sentTable } from '../../../adapters/rabbitmq/headers.ts'
import { MAX_COVERED_VALUES } from '../../../src/covered-parts.ts'
import { amqpRoundTrip } from './codec.ts'

describe('headers on their way out', () => {
  it.each([
    ['a timestamp', { '!': 'timestamp', value: 1_700_000_000 }],
    ['a timestamp as bigint', { '!': 'timestamp', value: 1_700_000_000n }],
    ['a decimal', { '!': 'decimal', value: { places: 2, digits: 314 } }],
    ['a float', { '!': 'float', value: 0.1 }],
    ['a double', { '!': 'double', value: 0.1 }],
    ['a 64-bit integer', { '!': 'int64', value: 2 ** 40 }],
    ['a 64-bit integer as bigint', { '!': 'long', value: 2n ** 40n }],
    ['a 64-bit integer as text', { '!': 'int64', value: '7' }],
    ['an unsigned byte', { '!': 'unsignedbyte', value: 200 }],
    ['an unsigned integer', { '!': 'uint32', value: 4_000_000_000 }],
    ['a typed boolean', { '!': 'boolean', value: 1 }],
    ['a typed string', { '!': 'string', value: 'x' }],
    ['a typed table', { '!': 'object', value: { a: 1 } }],
    ['a table in lists in a table', { a: [[{ b: { '!': 'float', value: 0.1 } }], null, 'x'] }],
    ['bytes', Buffer.from([0, 255])],
    ['bytes that are no Buffer', new Uint8Array([1, 2])],
    ['an absent entry', { a: undefined, b: 1 }],
    ['a fraction', 0.1],
    ['minus zero', -0],
  ])('%s looks as it does after the trip', (_what, value) => {
    const sent = sentTable({ value })
    const received = receivedTable(amqpRoundTrip({ value }))
    expect(withoutAbsent(sent)).toEqual(withoutAbsent(received))
  })

  it('anything amqplib can encode looks as it does after the trip', () => {
    const leaf = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.boolean(),
      fc.integer(),
      fc.constant(null),
      // A minus before zero is lost on the way, and JSON does not write it either.
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }).map((value) => value + 0),
    )
    const { table } = fc.letrec<{ value: unknown; table: object }>((tie) => ({
      value: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('value'), { maxLength: 3 }), tie('table')),
      table: fc.dictionary(
        fc.string({ minLength: 1, maxLength: 20 }).filter((name) => name !== '__proto__' && name !== '!'),
        tie('value'),
        { maxKeys: 4 },
      ),
    }))
    fc.assert(
      fc.property(table, (headers) => {
        expect(sentTable(headers)).toEqual(receivedTable(amqpRoundTrip(headers)))
      }),
    )
  })

  it('inherited names count, as they do in amqplib', () => {
    const headers = Object.assign(Object.create({ inherited: 1 }) as object, { own: 2 })
    expect({ ...sentTable(headers) }).toEqual({ own: 2, inherited: 1 })
    expect(amqpRoundTrip(headers)).toEqual({ own: 2, inherited: 1 })
  })

  it('a table that contains itself ends', () => {
    const loop: Record<string, unknown> = {}
    loop.self = loop
    expect(Object.keys(sentTable(loop))).toEqual(['self'])
  })
})

describe('headers on their way in', () => {
  it('a table called __proto__ is an entry like any other, at the top and inside', () => {
    // What amqplib's decoder makes of such a table: `fields[key] = val`.
    const hostile = Object.setPrototypeOf(
      { a: Object.setPrototypeOf({ c: 1 }, { polluted: true }) },
      { queueauth: 'x' },
    ) as object
    const table = receivedTable(hostile)
    expect(Object.getPrototypeOf(table)).toBeNull()
    expect(Object.keys(table)).toEqual(['a', '__proto__'])
    expect(table.queueauth).toBeUndefined()
    const inner = table.a as Record<string, unknown>
    expect(inner.polluted).toBeUndefined()
    expect(Object.getPrototypeOf(inner)).toBe(Object.prototype)
    expect(Object.entries(inner)).toEqual([
      ['c', 1],
      ['__proto__', { polluted: true }],
    ])
  })

  it('a table whose __proto__ are bytes is a table, and bytes are bytes', () => {
    const bytes = Buffer.from('abc')
    const table = receivedTable({ a: Object.setPrototypeOf({ c: 1 }, bytes) as object, bytes })
    expect(table.bytes).toBe(bytes)
    expect(table.a).not.toBeInstanceOf(Uint8Array)
    expect(Object.entries(table.a as object)).toEqual([
      ['c', 1],
      ['__proto__', bytes],
    ])
  })

  it('a table that has __proto__ twice, the first time null, is no other', () => {
    const twice = Object.defineProperty(Object.create(null), '__proto__', {
      value: Buffer.from('abc'),
      enumerable: true,
    })
    const table = receivedTable({ a: twice as object })
    expect(Object.getPrototypeOf(table.a)).toBe(Object.prototype)
    expect(Object.entries(table.a as object)).toEqual([['__proto__', Buffer.from('abc')]])
  })

  it('what nests too deeply for a stack is cut', () => {
    let list: unknown[] = []
    for (let level = 0; level < 3_000; level++) list = [list]
    expect(JSON.stringify(receivedTable({ list })).length).toBeLessThan(200)
  })
})

function withoutAbsent(table: object): unknown {
  return JSON.parse(JSON.stringify(table, (_name, value: unknown) => (value === undefined ? undefined : value)))
}

describe('headers on their way to the checks', () => {
  const members = (count: number): Record<string, number> =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`m${n}`, n]))

  it('are copied as they are, within the limits', () => {
    const headers = amqpRoundTrip({ queueauth: 'x', ...members(1024), table: members(MAX_COVERED_VALUES) }) as Record<
      string,
      unknown
    >
    delete headers.m0
    const { queueauth: _, ...rest } = headers
    expect({ ...checkedTable(headers, 'queueauth') }).toEqual(rest)
  })

  it('are not copied beyond them: one header too many shows, and a table is no table any more', () => {
    const many = checkedTable(amqpRoundTrip({ queueauth: 'x', ...members(5000) }), 'queueauth')
    expect(Object.keys(many)).toHaveLength(1025)
    const late = checkedTable(amqpRoundTrip({ ...members(5000), queueauth: 'x' }), 'queueauth')
    expect(Object.keys(late).length).toBeGreaterThan(1024)
    const tooMany = members(MAX_COVERED_VALUES + 1)
    const deep = amqpRoundTrip({ list: [{ table: tooMany }], table: tooMany, small: members(3) })
    expect({ ...checkedTable(deep, 'queueauth') }).toEqual({
      list: [{ table: Number.NaN }],
      table: Number.NaN,
      small: members(3),
    })
  })

  it('a table of members is read no further than its names', () => {
    let reads = 0
    const table = new Proxy(members(30_000), {
      get: (target, name) => {
        reads++
        return Reflect.get(target, name)
      },
    })
    checkedTable({ table, list: [table] }, 'queueauth')
    receivedEntry({ queueauth: table }, 'queueauth')
    expect(reads).toBe(0)
    checkedTable(table, 'queueauth')
    expect(reads).toBeLessThanOrEqual(1026)
  })

  it('are copied whole for a dead letter', () => {
    const headers = amqpRoundTrip({ table: members(5000), ...members(2000) })
    expect({ ...receivedTable(headers) }).toEqual(headers)
  })
})
