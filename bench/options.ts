import { parseArgs } from 'node:util'

export const PARTS = ['tokens', 'rejecting', 'growth', 'rabbitmq', 'kafka', 'redis'] as const
export type Part = (typeof PARTS)[number]

export interface Options {
  readonly quick: boolean
  readonly parts: readonly Part[]
}

/** @throws Error where an argument is unknown */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
  })
  const { quick, only } = values
  const wanted = only?.split(',') ?? PARTS
  const unknown = wanted.find((name) => !(PARTS as readonly string[]).includes(name))
  if (unknown !== undefined) throw new Error(`--only knows ${PARTS.join(', ')}, not "${unknown}"`)
  return { quick, parts: PARTS.filter((part) => wanted.includes(part)) }
}
