import type { SourcePosition } from '../errors.ts'
import { syntaxError } from './syntax.ts'

/** The longest pattern, in characters, without the `!` of a veto. */
export const MAX_PATTERN_LENGTH = 255

/** The most patterns of one list. */
export const MAX_PATTERNS = 64

/** How many queue names a list remembers its answer for. A consumer reads a few queues; a flood of names must not grow it. */
const REMEMBERED_NAMES = 64

/**
 * A list of patterns for queue names, as in `queues="orders.*,!orders.secret"`. A name matches when some pattern matches
 * it and no veto does; the order is of no consequence.
 *
 * | pattern | matches |
 * |---|---|
 * | `*` | one or more characters except `.`, `/` and `:` |
 * | `**` | anything, also nothing |
 * | `?` | exactly one character, whichever it is |
 * | `!p` | vetoes what `p` matches |
 * | anything else | itself; upper and lower case differ |
 *
 * A pattern is printable ASCII without space, comma, `"` and `\`; `?` stands for such a character in a queue's name.
 * At most 255 characters a pattern and 64 patterns a list.
 */
export class QueuePatterns {
  /** The patterns as they were written, vetoes with their `!`. */
  readonly patterns: readonly string[]
  readonly #allowed: readonly Pattern[]
  readonly #vetoed: readonly Pattern[]
  readonly #remembered = new Map<string, boolean>()

  private constructor(patterns: readonly string[]) {
    this.patterns = Object.freeze([...patterns])
    this.#allowed = patterns.filter((text) => !text.startsWith('!')).map(compile)
    this.#vetoed = patterns.filter((text) => text.startsWith('!')).map((text) => compile(text.slice(1)))
  }

  /**
   * @param list patterns separated by commas, or an array of patterns
   * @param position where the list stands in a file; an error names the column of the pattern at fault
   * @throws SetupError `authorized-keys-invalid`
   */
  static parse(list: string | readonly string[], position?: SourcePosition): QueuePatterns {
    const patterns = typeof list === 'string' ? list.split(',') : list
    let offset = 0
    for (const pattern of patterns) {
      const fault = faultOf(pattern)
      if (fault !== undefined) throw syntaxError(fault, advanced(position, offset))
      offset += pattern.length + 1
    }
    const fault = faultOfList(patterns)
    if (fault !== undefined) throw syntaxError(fault, position)
    return new QueuePatterns(patterns)
  }

  /** Whether a queue, topic or stream of this name is meant. */
  matches(name: string): boolean {
    let answer = this.#remembered.get(name)
    if (answer === undefined) {
      const characters = Array.from(name)
      answer =
        this.#allowed.some((pattern) => matchesPattern(pattern, characters)) &&
        !this.#vetoed.some((pattern) => matchesPattern(pattern, characters))
      if (this.#remembered.size >= REMEMBERED_NAMES) this.#remembered.clear()
      this.#remembered.set(name, answer)
    }
    return answer
  }
}

function advanced(position: SourcePosition | undefined, columns: number): SourcePosition | undefined {
  return position?.column === undefined ? position : { ...position, column: position.column + columns }
}

function faultOfList(patterns: readonly string[]): string | undefined {
  if (patterns.length === 0) return 'no queue pattern: write at least one, such as "orders.*"'
  if (patterns.length > MAX_PATTERNS) {
    return `${patterns.length} queue patterns, but ${MAX_PATTERNS} are the most: write several lines, or patterns with * and **`
  }
  if (patterns.every((pattern) => pattern.startsWith('!'))) {
    return 'a list of vetoes matches no queue: write what is allowed as well, such as "**" for everything else'
  }
  return undefined
}

function faultOf(pattern: string): string | undefined {
  if (typeof pattern !== 'string') return 'a queue pattern must be a string'
  const text = pattern.startsWith('!') ? pattern.slice(1) : pattern
  if (text === '') return 'an empty queue pattern: write a queue name, or ** for every queue'
  if (text.length > MAX_PATTERN_LENGTH) {
    return `a queue pattern of ${text.length} characters, but ${MAX_PATTERN_LENGTH} are the most: shorten it with * or **`
  }
  if (text.startsWith('!')) return 'a doubled "!": write one "!" for a veto'
  if (text.includes('***')) return 'three stars in a row: write * (within one part of a name) or ** (anything)'
  if (text.split('.').includes('#')) return '"#" is no wildcard in a queue pattern: write ** for any number of parts'
  if (!/^[!-~]+$/.test(text) || /[",\\]/.test(text)) {
    return 'a queue pattern is printable ASCII without space, comma, quote and backslash: write ? for any other character of a name'
  }
  return undefined
}

/** A token of a pattern: a literal character, or one of these. `*` is compiled to PART and SOME. */
const ONE = Symbol('one character')
const PART = Symbol('one character of a part')
const SOME = Symbol('any number of characters of a part')
const ANY = Symbol('any number of any characters')
export type Pattern = readonly (string | symbol)[]

export function compile(pattern: string): Pattern {
  const tokens: (string | symbol)[] = []
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern.charAt(index)
    if (character === '?') tokens.push(ONE)
    else if (character !== '*') tokens.push(character)
    else if (pattern.charAt(index + 1) === '*') {
      tokens.push(ANY)
      index++
    } else tokens.push(PART, SOME)
  }
  return tokens
}

/**
 * Token by token, which beginnings of the name can be matched so far. It is a table of tokens times characters, never
 * more work than that: a matcher that goes back to the last star is quadratic in the name when both kinds of stars meet.
 */
function matchesPattern(pattern: Pattern, name: readonly string[]): boolean {
  // reachable[i]: the tokens so far match the first i characters
  let reachable = new Uint8Array(name.length + 1)
  reachable[0] = 1
  for (const token of pattern) {
    const next = new Uint8Array(name.length + 1)
    const repeated = repeats(token)
    if (repeated) next[0] = reachable[0] ?? 0
    let alive = next[0] === 1
    for (let index = 0; index < name.length; index++) {
      const accepted = accepts(token, name[index] as string)
      const before = repeated ? next[index] : reachable[index]
      if ((accepted && before === 1) || (repeated && reachable[index + 1] === 1)) {
        next[index + 1] = 1
        alive = true
      }
    }
    if (!alive) return false
    reachable = next
  }
  return reachable[name.length] === 1
}

/** Whether a token can stand for a character. */
export function accepts(token: string | symbol, character: string): boolean {
  if (token === ANY || token === ONE) return true
  if (token === PART || token === SOME) return character !== '.' && character !== '/' && character !== ':'
  return token === character
}

/** Whether a token stands for any number of characters, also for none. */
export function repeats(token: string | symbol): boolean {
  return token === SOME || token === ANY
}
