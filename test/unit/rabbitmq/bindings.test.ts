import { describe, expect, it } from 'vitest'
import { otherAddresses } from '../../../adapters/rabbitmq/addresses.ts'
import { Bindings, matchesTopic } from '../../../adapters/rabbitmq/bindings.ts'

describe('a topic pattern', () => {
  it.each([
    ['#', '', true],
    ['#', 'a.b.c', true],
    ['*', 'a', true],
    ['*', 'a.b', false],
    ['*', '', false],
    ['', '', true],
    ['', 'a', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.#', 'a', true],
    ['a.#', 'ab', false],
    ['#.b', 'b', true],
    ['#.b', 'a.b.a', false],
    ['a.#.b', 'a.b', true],
    ['a.#.b', 'a.x.b.y.b', true],
    ['#.#', '', true],
    ['*.#.*', 'a', false],
    ['*.#.*', 'a.b', true],
    ['a*', 'ab', false],
    ['a.', 'a.', true],
    ['a.*', 'a.', true],
    ['#.a.#.b.#', 'x.a.x.b.x', true],
    ['#.a.#.b.#', 'x.b.x.a.x', false],
    ['refund.*', 'order.created', false],
  ])('%s and %s: %s', (pattern, key, matches) => {
    expect(matchesTopic(pattern, key)).toBe(matches)
  })
})

describe('what bindings tell', () => {
  const known = (type: string, ...patterns: string[]): Bindings => {
    const bindings = new Bindings()
    bindings.setType('x', type)
    for (const pattern of patterns) bindings.addQueue('q', { exchange: 'x', pattern })
    return bindings
  }

  it.each([
    ['topic', ['refund.*'], 'order.created', false],
    ['topic', ['refund.*', 'order.#'], 'order.created', true],
    ['direct', ['refund'], 'order', false],
    ['direct', ['refund', 'order'], 'order', true],
    ['fanout', [''], 'order', true],
    ['headers', [''], 'order', true],
    ['x-consistent-hash', ['1'], 'order', true],
  ])('of a %s exchange with %j, for %s: %s', (type, patterns, key, leads) => {
    expect(known(type, ...patterns).leads('x', key, 'q')).toBe(leads)
  })

  it('is nothing of a queue that was bound elsewhere', () => {
    expect(known('topic', 'a').leads('x', 'a', 'other')).toBeUndefined()
  })

  it('of an exchange of unknown type is only what has wildcards', () => {
    const bindings = new Bindings()
    bindings.addQueue('q', { exchange: 'elsewhere', pattern: 'refund.*' })
    expect(bindings.leads('elsewhere', 'order.created', 'q')).toBe(false)
    bindings.addQueue('q', { exchange: 'elsewhere', pattern: 'anything' })
    expect(bindings.leads('elsewhere', 'order.created', 'q')).toBe(true)
  })

  it('follows bindings between exchanges as far as they are known', () => {
    const bindings = known('topic', 'refund.#')
    expect(bindings.leads('before', 'order.created', 'q')).toBe(false)
    // Nobody said how it leads to x, so it may.
    expect(bindings.leads('before', 'refund.now', 'q')).toBe(true)
    bindings.setType('before', 'topic')
    bindings.addExchange('x', { exchange: 'before', pattern: '*.later' })
    expect(bindings.leads('before', 'refund.now', 'q')).toBe(false)
    expect(bindings.leads('before', 'refund.later', 'q')).toBe(true)
    expect(bindings.leads('stranger', 'refund.now', 'q')).toBe(true)
  })

  it('ends where exchanges are bound in a circle', () => {
    const bindings = known('direct', 'a')
    bindings.addExchange('x', { exchange: 'y', pattern: 'b' })
    bindings.addExchange('y', { exchange: 'x', pattern: 'b' })
    bindings.setType('y', 'direct')
    expect(bindings.leads('y', 'a', 'q')).toBe(false)
  })

  it('is taken back where a declaration failed', () => {
    const bindings = new Bindings()
    const undo = bindings.addQueue('q', { exchange: 'x', pattern: 'refund.*' })
    expect(bindings.leads('x', 'order.created', 'q')).toBe(false)
    undo()
    expect(bindings.leads('x', 'order.created', 'q')).toBeUndefined()
  })
})

describe('addresses beside the one that is shown', () => {
  const refunds = new Bindings()
  refunds.setType('x', 'topic')
  refunds.addQueue('refunds', { exchange: 'x', pattern: 'refund.*' })

  it.each([
    ['no CC, nothing known', 'order.created', undefined, undefined, []],
    ['a CC, nothing known', 'order.created', ['refund.now'], undefined, ['amqp:x/refund.now']],
    ['a CC of the same key', 'order.created', ['order.created'], undefined, []],
    [
      'a CC behind many of the same key',
      'k',
      [...Array(500).fill('k'), 'refund.now'],
      undefined,
      ['amqp:x/refund.now'],
    ],
    ['a CC that is bytes', 'order.created', [Buffer.from('refund.now')], undefined, ['amqp:x/refund.now']],
    ['a CC that is no list', 'order.created', { a: 1 }, undefined, ['amqp:x/%3F']],
    ['a CC, and a key that leads there', 'refund.later', ['refund.now'], refunds, []],
    ['a key that leads elsewhere', 'order.created', undefined, refunds, ['amqp:x/refund.%2A']],
  ])('%s', (_which, key, copied, bindings, others) => {
    expect(otherAddresses('x', key, copied, 'refunds', bindings)).toEqual(others)
  })
})
