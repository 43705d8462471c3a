import { SetupError } from './errors.ts'
import { quote } from './text.ts'

/**
 * The one check of options. What is misspelt or of a wrong type must not go unnoticed: an option that was meant to
 * restrict something would be missing.
 */

/** What the value of one option must be. */
export interface OptionRule {
  /** behind "must be": `true or false` */
  readonly must: string
  fits(value: unknown): boolean
}

/** A rule for every option there is: a name that is missing here is an error of the compiler. */
export type OptionRules<Options> = { readonly [Name in keyof Options]-?: OptionRule }

/**
 * Checks options and gives them back as a plain object of those that were given. `undefined` is as absent, also in place of
 * all of them. Options may be inherited or come from an instance of a class; its methods stay bound to it.
 *
 * ```ts
 * const { batch = false } = checkOptions('wrapProducer', options, { batch: FLAG })
 * ```
 *
 * @param where what was called, for the error: `wrapConsumer`, `new Verifier`
 * @throws SetupError `option-invalid` for an unknown name or a wrong value, and for what is no object
 */
export function checkOptions<Options extends object>(
  where: string,
  options: Options | undefined,
  rules: OptionRules<Options>,
): Options {
  const known = rules as Readonly<Record<string, OptionRule>>
  const given: unknown = options ?? (options === null ? null : {})
  if (!isObject(given)) {
    throw invalid(`${where}: the options must be an object with any of ${Object.keys(known).join(', ')}`)
  }
  checkNames(where, given, known)
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(given) as object | null)
  const checked: Record<string, unknown> = {}
  for (const name of Object.keys(known)) {
    const value = given[name]
    if (value === undefined) continue
    const { must, fits } = known[name] as OptionRule
    if (!fits(value)) throw invalid(`${where}: ${name} must be ${must}`)
    checked[name] = typeof value === 'function' && !isPlain ? value.bind(given) : value
  }
  return checked as Options
}

/** Inherited names too, since they are read. */
function checkNames(
  where: string,
  given: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, OptionRule>>,
): void {
  for (const name in given) {
    if (Object.hasOwn(known, name) || given[name] === undefined) continue
    // What somebody put on the prototype of all objects was not written here.
    if (!Object.hasOwn(given, name) && Object.hasOwn(Object.prototype, name)) continue
    const names = Object.keys(known)
    const meant = nearest(name, names)
    const advice = meant === undefined ? '' : `; did you mean ${meant}?`
    throw invalid(`${where}: unknown option ${quote(name)}${advice} (known: ${names.join(', ')})`)
  }
}

/** Not a list, a function, a promise, a Map or the like, in which no option could be found. */
function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Object]'
}

/** The known name that a misspelt one is likest to. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const wanted = name.toLowerCase()
  let found: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of names) {
    const other = candidate.toLowerCase()
    const isPart = wanted.length > 3 && (other.includes(wanted) || wanted.includes(other))
    const distance = isPart ? 1 : editDistance(wanted, other)
    if (distance > Math.max(2, wanted.length / 2)) continue
    // Names mostly begin right.
    const unlikeness = distance - commonBeginning(wanted, other) / 2
    if (unlikeness >= least) continue
    least = unlikeness
    found = candidate
  }
  return found
}

function commonBeginning(one: string, other: string): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length++
  return length
}

/** How many letters to add, leave out or replace (Levenshtein). Names are cut, since anyone may write long ones. */
function editDistance(one: string, other: string): number {
  const [from, to] = [one.slice(0, 40), other.slice(0, 40)]
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[to.length] as number
}

function invalid(message: string): SetupError {
  return new SetupError('option-invalid', message)
}

export const FLAG: OptionRule = { must: 'true or false', fits: (value) => typeof value === 'boolean' }

export const FUNCTION: OptionRule = { must: 'a function', fits: (value) => typeof value === 'function' }

export const TEXT: OptionRule = { must: 'a text', fits: (value) => typeof value === 'string' }

export const NAME: OptionRule = {
  must: 'a text that is not empty',
  fits: (value) => typeof value === 'string' && value !== '',
}

export const TEXT_LIST: OptionRule = {
  must: 'a list of texts',
  fits: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
}

export const TEXT_OR_BYTES: OptionRule = {
  must: 'a text or bytes',
  fits: (value) => typeof value === 'string' || value instanceof Uint8Array,
}

export const ABORT_SIGNAL: OptionRule = {
  must: 'an AbortSignal, such as controller.signal',
  fits: (value) => hasMethods(value, ['addEventListener']) && typeof (value as AbortSignal).aborted === 'boolean',
}

/** For what has a check of its own elsewhere. */
export const ANYTHING: OptionRule = { must: 'something', fits: () => true }

export function oneOf(...values: readonly string[]): OptionRule {
  return { must: alternatives(values), fits: (value) => values.includes(value as string) }
}

export function oneOfOrFunction(...values: readonly string[]): OptionRule {
  return {
    must: `${values.map((value) => `'${value}'`).join(', ')} or a function that returns one of them`,
    fits: (value) => typeof value === 'function' || values.includes(value as string),
  }
}

/** An object that has these methods, its own or inherited. */
export function having(must: string, ...methods: readonly string[]): OptionRule {
  return { must, fits: (value) => hasMethods(value, methods) }
}

/** @param most the largest number there may be; it is taken as it is, so Infinity allows that too */
export function above0(unit: string, most: number): OptionRule {
  const limit = most >= Number.MAX_VALUE ? '' : ` and at most ${most.toLocaleString('en')}`
  return {
    must: `a number${unit === '' ? '' : ` of ${unit}`} above 0${limit}`,
    fits: (value) => typeof value === 'number' && value > 0 && value <= most,
  }
}

export function wholeNumber(least: number, most: number): OptionRule {
  return {
    must:
      most === Number.MAX_SAFE_INTEGER
        ? `a whole number, ${least} or more`
        : `a whole number from ${least} to ${most.toLocaleString('en')}`,
    fits: (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  }
}

/** What fits either of two rules. */
export function either(one: OptionRule, other: OptionRule): OptionRule {
  return { must: `${one.must}, or ${other.must}`, fits: (value) => one.fits(value) || other.fits(value) }
}

function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
}

function alternatives(values: readonly string[]): string {
  const quoted = values.map((value) => `'${value}'`)
  return quoted.length === 1 ? (quoted[0] as string) : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`
}
