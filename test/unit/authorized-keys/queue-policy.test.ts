import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseQueuePolicy } from '../../../src/authorized-keys/queue-policy.ts'
import { createSnapshot } from '../../../src/authorized-keys/snapshot.ts'
import type { SetupError } from '../../../src/errors.ts'
import type { PolicyRule } from '../../../src/policy.ts'
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import { Verifier, type VerifierOptions } from '../../../src/verifier.ts'
import { ChangingKeys, keysOf, lineOf } from '../helpers.ts'
import { setupErrorOf } from '../keys/helpers.ts'

const parse = (text: string) => parseQueuePolicy(text, 'queue_policy')
const errorOf = (text: string): SetupError | undefined => setupErrorOf(() => parse(text))

describe('a queue_policy text', () => {
  it('says for each line what it names and nothing else', () => {
    const lines = parse(
      [
        '# queues   what holds',
        '',
        'orders.*   rollout=observe',
        '\tinvoices,receipts\taccept-unsigned-until=2026-12-31T00:00Z  max-age=7d\t',
        'retry destinations=delivered,amqp:orders/order.* accept-unsigned-until=2026-12-31',
        'mirror destinations=kafka:orders,!kafka:secret rollout=enforce max-age=90s',
      ].join('\r\n'),
    )
    expect(lines.map(({ queues, overrides, position }) => [queues.patterns.join(), overrides, position.line])).toEqual([
      ['orders.*', { rollout: 'observe' }, 3],
      ['invoices,receipts', { acceptUnsignedUntil: Date.UTC(2026, 11, 31), maxAgeSeconds: 604_800 }, 4],
      ['retry', { delivered: true, destinations: expect.anything(), acceptUnsignedUntil: Date.UTC(2026, 11, 31) }, 5],
      ['mirror', { delivered: false, destinations: expect.anything(), rollout: 'enforce', maxAgeSeconds: 90 }, 6],
    ])
    expect(lines[3]?.overrides.destinations?.patterns).toEqual(['kafka:orders', '!kafka:secret'])
    expect(parse('a destinations=delivered')[0]?.overrides).toEqual({ delivered: true, destinations: undefined })
    expect(['1s', '2m', '3h', '4d'].map((age) => parse(`a max-age=${age}`)[0]?.overrides.maxAgeSeconds)).toEqual([
      1, 120, 10_800, 345_600,
    ])
    expect(parse('')).toEqual([])
  })

  it.each<[string, string, number | undefined]>([
    ['no queues', 'rollout=observe', 1],
    ['queues alone', 'orders  ', 7],
    ['an unknown name', 'orders rolout=observe', 8],
    ['a name of the code', 'orders maxAgeSeconds=7', 8],
    ['a name in capitals', 'orders Rollout=observe', 8],
    ['no value', 'orders rollout', 8],
    ['an empty value', 'orders rollout= observe', 8],
    ['a quoted value', 'orders rollout="observe"', 16],
    ['another rollout', 'orders max-age=1d rollout=off', 27],
    ['a doubled name', 'orders max-age=1d max-age=2d', 19],
    ['a local time', 'orders accept-unsigned-until=2026-12-31T00:00', 30],
    ['a day no calendar has', 'orders accept-unsigned-until=2026-02-30', 30],
    ['an age without unit', 'orders max-age=7', 16],
    ['an age of nothing', 'orders max-age=0s', 16],
    ['an age of ages', 'orders max-age=3651d', 16],
    ['an age beyond numbers', 'orders max-age=99999999999d', 16],
    ['destinations without scheme', 'orders destinations=orders/*', 21],
    ['a destination that is not encoded', 'orders destinations=amqp:**,!amqp:a/b+c', 21],
    ['no destinations', 'orders destinations=', 8],
    ['vetoes alone', 'orders destinations=!amqp:orders/x', 21],
    ['an empty destination', 'orders destinations=amqp:a/b,', 21],
    ['a queue pattern that is none', 'orders,*** rollout=observe', 8],
    ['a comment behind', 'orders rollout=observe # for now', 24],
    ['a character outside ASCII', 'orders rollout=observ\u00e9', 22],
    ['a control character', 'orders\0rollout=observe', 7],
  ])('with %s is refused, and the error says where', (_, line, column) => {
    const error = errorOf(`# first\nother max-age=1d\n${line}\n`)
    expect(error?.code).toBe('authorized-keys-invalid')
    expect(error?.position).toEqual({ file: 'queue_policy', line: 3, column })
  })

  it('names the same queues once, and no more lines than are sensible', () => {
    expect(errorOf('a,b max-age=1d\nc max-age=1d\na,b rollout=observe\n')?.position?.line).toBe(3)
    const many = Array.from({ length: 10_001 }, (_, index) => `q${index} max-age=1d`).join('\n')
    expect(errorOf(many)?.position?.line).toBe(10_001)
  })

  it('is read or refused with a SetupError, whatever it is', () => {
    const words = fc.constantFrom(
      ...['orders', '*', '**', '!', ',', ' ', '\t', '\n', '\r', '#', '=', '"', 'rollout=', 'observe', 'max-age=', '7d'],
      ...['accept-unsigned-until=', '2026-12-31', 'destinations=', 'amqp:a/b', 'delivered', '\0', '\uFEFF', '\ud800'],
    )
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(words, { maxLength: 30 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (any) => void errorOf(any)),
      { numRuns: 500 },
    )
  })

  it('comes back from what it was written as', () => {
    const time = fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => seconds - (seconds % 60))
    const members = fc.record(
      {
        rollout: fc.constantFrom('enforce' as const, 'observe' as const),
        acceptUnsignedUntil: time.map((seconds) => seconds * 1000),
        maxAgeSeconds: fc.integer({ min: 1, max: 3_650 * 86_400 }),
      },
      { requiredKeys: [] },
    )
    const written = ({ rollout, acceptUnsignedUntil, maxAgeSeconds }: PolicyRule['overrides']): string[] => [
      ...(rollout === undefined ? [] : [`rollout=${rollout}`]),
      ...(acceptUnsignedUntil === undefined
        ? []
        : [`accept-unsigned-until=${new Date(acceptUnsignedUntil).toISOString().replace(':00.000', '')}`]),
      ...(maxAgeSeconds === undefined ? [] : [`max-age=${maxAgeSeconds}s`]),
    ]
    fc.assert(
      fc.property(members, fc.integer({ min: 0, max: 3 }), (overrides, turn) => {
        fc.pre(Object.keys(overrides).length > 0)
        const parts = written(overrides)
        const turned = [...parts.slice(turn), ...parts.slice(0, turn)]
        expect(parse(`orders ${turned.join('  ')}`)[0]?.overrides).toEqual(overrides)
      }),
    )
  })
})

describe('a verifier whose keys bring a queue_policy', () => {
  const keys = keysOf(lineOf())
  const withPolicy = (text: string): ChangingKeys => {
    const source = new ChangingKeys(keys)
    source.snapshot = createSnapshot([], new Set(), { policies: parse(text) })
    return source
  }
  const verifierOf = (text: string, options: Partial<VerifierOptions> = {}): Verifier =>
    new Verifier({ keys: withPolicy(text), ...options })

  it('takes what the file says, member by member, over what the code says', () => {
    const verifier = verifierOf('orders.* rollout=observe max-age=1h\norders.eu max-age=2h\norders.eu,x max-age=3h', {
      maxAgeSeconds: 60,
      queues: { 'orders.us': { destinations: ['amqp:orders/us'], rollout: 'enforce' } },
    })
    expect(verifier.policyOf('orders.us')).toMatchObject({ rollout: 'observe', maxAgeSeconds: 3_600, delivered: false })
    expect(verifier.policyOf('orders.eu')).toMatchObject({ rollout: 'enforce', maxAgeSeconds: 7_200, delivered: true })
    expect(verifier.policyOf('x')).toMatchObject({ rollout: 'enforce', maxAgeSeconds: 10_800 })
    expect(verifier.policyOf('other')).toMatchObject({ rollout: 'enforce', maxAgeSeconds: 60 })
  })

  it('follows the file, and keeps to it while there are no keys', () => {
    const source = withPolicy('orders rollout=observe')
    const verifier = new Verifier({ keys: source })
    expect(verifier.policyOf('orders').rollout).toBe('observe')
    source.snapshot = undefined
    expect(verifier.policyOf('orders').rollout).toBe('observe')
    source.snapshot = withPolicy('orders rollout=enforce').snapshot
    expect(verifier.policyOf('orders').rollout).toBe('enforce')
    source.snapshot = withPolicy('other rollout=observe').snapshot
    expect(verifier.policyOf('other').rollout).toBe('observe')
    source.snapshot = keys.snapshot
    expect(verifier.policyOf('other').rollout).toBe('enforce')
  })

  it('accepts no message for longer than the replay store remembers', () => {
    const replay = Object.assign(new MemoryReplayStore(), { retentionSeconds: 10_000 })
    const verifier = verifierOf('orders max-age=30d', { replay, maxAgeSeconds: 60, clockSkewSeconds: 30 })
    expect(verifier.policyOf('orders').maxAgeSeconds).toBe(10_000 - 61)
    expect(verifier.retentionSeconds('orders')).toBe(10_000)
    expect(verifierOf('orders max-age=1m', { replay, maxAgeSeconds: 600 }).policyOf('orders').maxAgeSeconds).toBe(60)
  })
})
