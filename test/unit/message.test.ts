import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { address, isReservedHeader, parseAddress } from '../../src/message.ts'
import { isDestination } from '../../src/token.ts'

const component = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text.isWellFormed()),
  fc.string({
    unit: fc.constantFrom('/', '%', '2', 'F', 'f', '.', ':', '*', '&', "'", '!', '~', 'a', '\0', '\u00e9'),
    maxLength: 8,
  }),
)
const components = fc
  .tuple(component, fc.array(component, { maxLength: 3 }))
  .map(([first, rest]) => [first, ...rest] as [string, ...string[]])

describe('addresses', () => {
  it.each<[[string, string], string]>([
    [['orders', 'order.created'], 'amqp:orders/order.created'],
    [['', 'queue'], 'amqp:/queue'],
    [['a/b', 'c'], 'amqp:a%2Fb/c'],
    [['a', 'b/c'], 'amqp:a/b%2Fc'],
    [["!*'()~&%", '#é '], 'amqp:%21%2A%27%28%29%7E%26%25/%23%C3%A9%20'],
  ])('%j is %s', (parts, text) => {
    expect(address('amqp', ...parts)).toBe(text)
    expect(parseAddress('amqp', text)).toEqual(parts)
  })

  it('read back what was written: no two lists of components look alike', () => {
    fc.assert(
      fc.property(components, components, (one, other) => {
        const text = address('amqp', ...one)
        expect(parseAddress('amqp', text)).toEqual(one)
        expect(isDestination(text)).toBe(true)
        expect(text === address('amqp', ...other)).toBe(JSON.stringify(one) === JSON.stringify(other))
      }),
      { numRuns: 500 },
    )
  })

  it('no text but its own spelling is read', () => {
    const piece = fc.constantFrom('%', '2', 'F', 'f', '/', 'a', '%2F', '%2f', '%61', '%C3%A9', '%C3', '~', '*', ':')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = `amqp:${pieces.join('')}`
        const read = parseAddress('amqp', text)
        if (read !== undefined) expect(address('amqp', ...read)).toBe(text)
        expect(isDestination(text)).toBe(read !== undefined)
      }),
      { numRuns: 1000 },
    )
  })

  it('of another scheme are not read', () => {
    expect(parseAddress('amqp', 'kafka:orders')).toBeUndefined()
    expect(parseAddress('amqp', 'amqps:orders')).toBeUndefined()
    expect(parseAddress('amqp', 'amqp')).toBeUndefined()
  })

  it('a lone surrogate has no address', () => {
    expect(() => address('amqp', '\ud800')).toThrow(URIError)
  })
})

it.each(['queueauth', 'QueueAuth', 'queueauth-', 'queueauth-reason', 'QUEUEAUTH-X'])('%s is reserved', (name) => {
  expect(isReservedHeader(name)).toBe(true)
})

it.each(['queueauth2', 'queue-auth', 'x-queueauth', ''])('%j is not reserved', (name) => {
  expect(isReservedHeader(name)).toBe(false)
})
