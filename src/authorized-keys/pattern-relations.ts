import { accepts, compile, type Pattern, repeats } from './patterns.ts'

/** A list of patterns, vetoes with their `!`. */
export type PatternList = readonly string[]

/** Steps of a pattern, so that hostile ones keep nobody waiting; what people write takes some thousands. */
const MAX_STEPS = 500_000

/** Stands for every character that no pattern names. */
const ORDINARY = 'xyz0123456789abcdefghijklmnopqrstuvw'

/**
 * A shortest queue name of which `wanted` holds, given which of the lists match it; undefined when there is none, null
 * when finding out takes too long.
 */
export function findName(
  lists: readonly PatternList[],
  wanted: (matched: readonly boolean[]) => boolean,
): string | undefined | null {
  const automata = lists.map((list) => list.map((text) => compileOne(text)))
  const alphabet = alphabetOf(automata.flat().map(({ tokens }) => tokens))
  const start = automata.map((list) => list.map(({ tokens }) => closure(tokens, [0])))
  // Not the start: no name leads there, but one can lead back, as with `**`, which one character leaves as it is.
  const seen = new Set<string>()
  const queue: (readonly [name: string, state: number[][][]])[] = [['', start]]
  let steps = 0
  for (const [name, state] of queue) {
    if (name !== '' && wanted(automata.map((list, index) => matches(list, state[index] ?? [])))) return name
    for (const character of alphabet) {
      steps += state.flat(2).length
      if (steps > MAX_STEPS) return null
      const after = automata.map((list, index) =>
        list.map(({ tokens }, pattern) => step(tokens, state[index]?.[pattern] ?? [], character)),
      )
      const key = JSON.stringify(after)
      if (seen.has(key)) continue
      seen.add(key)
      queue.push([name + character, after])
    }
  }
  return undefined
}

interface Compiled {
  readonly tokens: Pattern
  readonly isVeto: boolean
}

function compileOne(text: string): Compiled {
  const isVeto = text.startsWith('!')
  return { tokens: compile(isVeto ? text.slice(1) : text), isVeto }
}

/** Every character that some pattern treats unlike the others, and one that all treat alike. */
function alphabetOf(patterns: readonly Pattern[]): string[] {
  const literals = new Set(patterns.flat().filter((token) => typeof token === 'string'))
  const ordinary = Array.from(ORDINARY).find((character) => !literals.has(character)) ?? '\u2022'
  return [...new Set([ordinary, ...literals, '.', '/', ':'])]
}

/** Positions before tokens that can be reached without a character; the length of the pattern means a match. */
function closure(tokens: Pattern, positions: readonly number[]): number[] {
  const reached = new Set(positions)
  for (const position of reached) {
    const token = tokens[position]
    if (token !== undefined && repeats(token)) reached.add(position + 1)
  }
  return [...reached].sort((a, b) => a - b)
}

function step(tokens: Pattern, positions: readonly number[], character: string): number[] {
  const next: number[] = []
  for (const position of positions) {
    const token = tokens[position]
    if (token !== undefined && accepts(token, character)) next.push(repeats(token) ? position : position + 1)
  }
  return closure(tokens, next)
}

function matches(list: readonly Compiled[], state: readonly (readonly number[])[]): boolean {
  const hit = ({ tokens }: Compiled, index: number): boolean => state[index]?.includes(tokens.length) ?? false
  return (
    list.some((each, index) => !each.isVeto && hit(each, index)) &&
    !list.some((each, index) => each.isVeto && hit(each, index))
  )
}
