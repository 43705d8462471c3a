/** The programs that are compared, and what they are put under. */

/**
 * The same program: without the library; with a header that means nothing, as long as a batch token; with single tokens;
 * with batch tokens; and with bare signatures, which are made and checked but not sent, beside a header as long as a
 * single token: the most that single tokens could reach.
 */
export const WAYS = ['unsigned', 'dummy header', 'single tokens', 'batch tokens', 'bare signatures'] as const
export type Way = (typeof WAYS)[number]

/** Those that use the library. */
export const OURS: readonly Way[] = ['single tokens', 'batch tokens']

export interface Load {
  readonly name: string
  readonly variant: string
  readonly handler: 'empty' | 'work'
  /** as much as goes through, half of what the unsigned program of this variant reached, or messages a second */
  readonly pace: 'saturated' | 'half' | number
  readonly ways: readonly Way[]
}

const COMPARED: readonly Way[] = WAYS.slice(0, 4)

/** Messages a second: milliseconds between them are few, and nothing queues. */
export const LOW = 200

/** @param short leaves out all variants but the first, the high load, and what is there to compare with only */
export function loadsOf([main, ...others]: readonly [string, ...string[]], short: boolean): Load[] {
  const saturated = { handler: 'empty', pace: 'saturated' } as const
  const load = (name: string, more: Partial<Load>): Load => ({
    ...{ name, variant: main, ways: COMPARED, ...saturated },
    ...more,
  })
  return [
    load(main, { ways: short ? COMPARED : WAYS }),
    ...(short ? [] : others.map((variant) => load(variant, { variant }))),
    load(`${main}, 100 µs of work`, { handler: 'work', ways: short ? ['unsigned', 'batch tokens'] : COMPARED }),
    load(`${main}, low load`, { pace: LOW, ways: short ? ['single tokens', 'batch tokens'] : COMPARED }),
    ...(short ? [] : [load(`${main}, high load`, { pace: 'half' })]),
  ]
}
