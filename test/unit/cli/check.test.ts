import { describe, expect, it } from 'vitest'
import { parseLines } from '../../../src/authorized-keys/lines.ts'
import { parseQueuePolicy } from '../../../src/authorized-keys/queue-policy.ts'
import { createSnapshot } from '../../../src/authorized-keys/snapshot.ts'
import { type AccessChange, compareAccess } from '../../../src/cli/check/compare.ts'
import { lineOfSeveralQueues } from '../../../src/cli/check/copies.ts'
import { checkLines } from '../../../src/cli/check/lines.ts'
import { checkPatterns } from '../../../src/cli/check/patterns.ts'
import { comparePolicies } from '../../../src/cli/check/policies.ts'
import { testKey } from '../authorized-keys/keys.ts'

const NOW = Date.parse('2026-06-01T00:00Z') / 1000
const DAY = 86_400
const [a, b] = [testKey(), testKey()]

function linesFindings(text: string, revocations: readonly string[] = []): string[] {
  return checkLines(parseLines(text, 'f'), new Set(revocations), NOW, 30 * DAY).map(
    ({ rule, place }) => `${place.split(':')[1]} ${rule}`,
  )
}

function patternFindings(queues: string): string[] {
  return parseLines(`s queues="${queues}" ${a.line}`, 'f').flatMap(({ line }) =>
    checkPatterns(line).map(({ rule, text }) => `${/"(.*?)"/.exec(text)?.[1] ?? ''} ${rule}`.trim()),
  )
}

describe('rules for lines', () => {
  const line = (service: string, options: string, key = a): string => `${service} ${options} ${key.line}\n`

  it('leaves good lines alone', () => {
    const windows = 'queues="x",valid-after="2026-01-01",valid-before="2027-01-01"'
    expect(linesFindings(line('s', windows) + line('t', 'queues="x"', b))).toEqual([])
    expect(linesFindings(line('s', 'queues="x"') + line('s', 'queues="y"'))).toEqual([])
  })

  it.each([
    ['several services on a line', line('s,t', 'queues="x"'), ['1 shared-line']],
    ['one key under two names', line('s', 'queues="x"') + line('t', 'queues="y"'), ['1 shared-key', '2 shared-key']],
    ['a window that is over', line('s', 'queues="x",valid-before="2026-05-01"'), ['1 window-over']],
    ['one that ends soon', line('s', 'queues="x",valid-before="2026-06-20"'), ['1 window-ends-soon']],
    ['one that has just ended', line('s', 'queues="x",valid-before="2026-05-30"'), ['1 window-ends-soon']],
    [
      'one that ends soon, the next key being there',
      line('s', 'queues="x",valid-before="2026-06-20"') + line('s', 'queues="**,!y"', b),
      [],
    ],
    [
      'one whose next key covers less',
      line('s', 'queues="x.*",valid-before="2026-06-20"') + line('s', 'queues="x.y"', b),
      ['1 window-ends-soon'],
    ],
    [
      'one whose next key begins too late',
      line('s', 'queues="x",valid-before="2026-06-20"') + line('s', 'queues="x",valid-after="2026-06-21"', b),
      ['1 window-ends-soon'],
    ],
    ['the same line twice', line('s', 'queues="x"') + line('s', 'queues="x"'), ['2 line-redundant']],
    ['a line within another', line('s', 'queues="x.y"') + line('s', 'queues="x.*"'), ['1 line-redundant']],
    [
      'a line that lasts longer than a wider one',
      line('s', 'queues="x"') + line('s', 'queues="**,!z",valid-before="2027-01-01"'),
      [],
    ],
  ])('%s', (_, text, expected) => {
    expect(linesFindings(text)).toEqual(expected)
  })

  it('a revoked key, of which nothing else is said', () => {
    const text = line('s,t', 'queues="x",valid-before="2020-01-01"')
    expect(linesFindings(text, [a.publicKey.fingerprint])).toEqual(['1 revoked-line'])
    expect(linesFindings(text, [`kid:${a.publicKey.keyId}`])).toEqual(['1 revoked-line'])
  })
})

describe('a key that may publish to several queues, which copies by BCC can be between', () => {
  const found = (text: string, revocations: readonly string[] = []): number | undefined =>
    lineOfSeveralQueues(parseLines(text, 'f'), new Set(revocations))?.position.line
  const line = (service: string, queues: string, key = a, more = ''): string =>
    `${service} queues="${queues}"${more} ${key.line}\n`

  it.each<[string, string, number | undefined]>([
    ['a wildcard', line('s', 'orders.*'), 1],
    ['one character', line('s', 'order?'), 1],
    ['several names', line('s', 'a,b'), 1],
    ['two lines of one key', line('s', 'a') + line('s', 'b'), 2],
    ['two lines, a service of several', line('s', 'a') + line('t,s', 'b'), 2],
    ['the second line alone', line('s', 'a') + line('t', '**', b), 2],
    ['one name', line('s', 'a'), undefined],
    ['one name twice', line('s', 'a,a') + line('s', 'a', a, ',valid-after="2026-01-01"'), undefined],
    ['all but one vetoed', line('s', 'a,b,!b'), undefined],
    ['all vetoed', line('s', 'a.*,!a.**'), undefined],
    ['two services of one key', line('s', 'a') + line('t', 'b'), undefined],
    ['two keys of one service', line('s', 'a') + line('s', 'b', b), undefined],
  ])('%s', (_, text, expected) => {
    expect(found(text)).toBe(expected)
  })

  it('revoked keys publish nowhere', () => {
    expect(found(line('s', '**'), [a.publicKey.fingerprint])).toBeUndefined()
  })
})

describe('rules for patterns', () => {
  it.each([
    ['orders.*,invoices,!orders.secret', []],
    ['**,!payments.**', []],
    ['**,!**', ['** pattern-vetoed']],
    ['**', ['every-queue']],
    ['*,**', ['* pattern-redundant', 'every-queue']],
    ['orders.new,orders.*', ['orders.new pattern-redundant']],
    ['a,a', ['a pattern-redundant']],
    ['orders.*,x,!orders.**', ['orders.* pattern-vetoed']],
    ['orders.*,!payments', ['!payments veto-idle']],
    ['amqp:orders/new', ['amqp:orders/new pattern-odd']],
    ['orders.(a|b)', ['orders.(a|b) pattern-odd']],
    ['orders.', ['orders. pattern-odd']],
    ['orders.>', ['orders.> pattern-odd']],
  ])('%s: %j', (queues, expected) => {
    expect(patternFindings(queues)).toEqual(expected)
  })
})

describe('what a change lets in', () => {
  const good = `s queues="x.*,!x.secret",valid-before="2027-01-01" ${a.line}\n`

  function effects(before: string, after: string, revokedBefore: string[] = [], revokedAfter: string[] = []): string[] {
    const keys = (text: string, revoked: string[]): Parameters<typeof compareAccess>[0] => {
      const allows = parseLines(text, 'f')
      return { allows, snapshot: createSnapshot(allows, new Set(revoked)) }
    }
    return compareAccess(keys(before, revokedBefore), keys(after, revokedAfter), NOW).map(short)
  }

  const short = ({ effect, who, queues, example, when }: AccessChange): string =>
    [effect, who, queues, example, when].filter((part) => part !== undefined).join(' ')
  const swapped = (text: string): string => (text.startsWith('lets in') ? `shuts out${text.slice(7)}` : text)

  it.each([
    ['a new service', good, `${good}t queues="y" ${b.line}\n`, ['lets in t y y always']],
    ['a new service for every queue', good, `${good}t queues="**" ${b.line}\n`, ['lets in t ** x always']],
    ['a second name for a key', good, `${good}t queues="y" ${a.line}\n`, ['lets in t y y always']],
    [
      'a new key',
      good,
      `${good}${good.replace(a.line, b.line)}`,
      ['lets in s x.*,!x.secret x.x until 2027-01-01T00:00Z'],
    ],
    ['a wider pattern', good, good.replace('x.*', '?.*'), ['lets in s ?.*,!x.secret y.y until 2027-01-01T00:00Z']],
    ['a veto that is gone', good, good.replace(',!x.secret', ''), ['lets in s x.* x.secret until 2027-01-01T00:00Z']],
    [
      'a longer window',
      good,
      good.replace('2027-01-01', '2027-02-01'),
      ['lets in s x.*,!x.secret x.x 2027-01-01T00:00Z to 2027-02-01T00:00Z'],
    ],
    [
      'a window without an end',
      good,
      good.replace(',valid-before="2027-01-01"', ''),
      ['lets in s x.*,!x.secret x.x from 2027-01-01T00:00Z'],
    ],
  ])('%s, and the other way round it shuts out', (_, before, after, expected) => {
    const found = effects(before, after)
    // What stands for any character of a name is of no consequence.
    expect(found.map((each) => each.replace(/ [a-z]\.[a-z] /, ' x.x '))).toEqual(
      expected.map((each) => each.replace(/ [a-z]\.[a-z] /, ' x.x ')),
    )
    expect(effects(after, before)).toEqual(found.map(swapped))
  })

  it('a revocation that is gone, and one that is new', () => {
    const revoked = [a.publicKey.fingerprint]
    const when = ['s x.*,!x.secret', 'until 2027-01-01T00:00Z']
    expect(effects(good, good, revoked, [])).toEqual([
      expect.stringMatching(`^lets in ${when[0]?.replace(/[*.]/g, '.')}`),
    ])
    expect(effects(good, good, [], revoked)).toEqual([expect.stringMatching(/^shuts out s /)])
  })

  it('another algorithm of the same key lets in and shuts out', () => {
    const rsa = testKey('RS256')
    const [before, after] = [`s queues="x" ${rsa.line}`, `s queues="x",alg="RS256" ${rsa.line}`]
    expect(effects(before, after)).toEqual(['shuts out s x x always', 'lets in s x x always'])
  })

  it('nothing, where the same is said in other words', () => {
    expect(effects(good, `# a comment\n${good.replace('x.*,!x.secret', '!x.secret,x.*')}`)).toEqual([])
    expect(effects(`s queues="x.a,x.b" ${a.line}`, `s queues="x.b" ${a.line}\ns queues="x.a" ${a.line}`)).toEqual([])
    const halves = (border: string): string =>
      `s queues="x",valid-before="${border}" ${a.line}\ns queues="x",valid-after="${border}" ${a.line}`
    expect(effects(halves('2027-01-01'), `s queues="x" ${a.line}`)).toEqual([])
  })

  it('nothing, where a line goes whose messages are all too old', () => {
    expect(effects(`s queues="x",valid-before="2026-05-01" ${a.line}`, `t queues="y" ${b.line}`)).toEqual([
      'lets in t y y always',
    ])
  })
})

describe('what a change of queue_policy lets in', () => {
  it.each([
    ['x rollout=observe', 'lets in'],
    ['x accept-unsigned-until=2027-01-01', 'lets in'],
    ['x max-age=8d', 'lets in'],
    ['x max-age=1d', 'shuts out'],
    ['x destinations=delivered,amqp:a/b', 'lets in'],
    ['x rollout=enforce max-age=7d', undefined],
  ])('%s: %s', (line, expected) => {
    const [none, some] = [parseQueuePolicy('# nothing', 'p'), parseQueuePolicy(line, 'p')]
    expect(comparePolicies(none, some).map(({ effect }) => effect)).toEqual(expected === undefined ? [] : [expected])
    const reverse = expected === 'lets in' ? 'shuts out' : 'lets in'
    expect(comparePolicies(some, none).map(({ effect }) => effect)).toEqual(expected === undefined ? [] : [reverse])
  })
})
