import { isCoverableName, MAX_COVERED_HEADERS, MAX_HEADERS } from './covered-parts.ts'
import { SetupError } from './errors.ts'
import { type Headers, isReservedHeader, TOKEN_HEADER } from './message.ts'
import { quote } from './text.ts'

/**
 * Headers that others change or add after signing, so no signature covers them: tracing, copies (CC, BCC), and what the
 * broker writes. A trailing `*` stands for any ending.
 */
export const DEFAULT_UNSIGNED_HEADERS: readonly string[] = [
  'traceparent',
  'tracestate',
  'baggage',
  'b3',
  'x-b3-*',
  'sentry-trace',
  'x-datadog-*',
  'newrelic',
  'uber-trace-id',
  'CC',
  'BCC',
  'x-death',
  'x-first-death-*',
  'x-last-death-*',
  'x-delivery-count',
  'x-acquired-count',
  'x-received-from',
  'x-shovelled*',
  'x-opt-*',
  'x-routed-by',
  'x-stream-offset',
  'x-stream-filter-value',
  'x-delay',
]

/** The most names that are remembered: an application has a few, unless it makes them up. */
const MAX_KNOWN = 256

/** Chooses the headers a signature covers. */
export class HeaderSelection {
  readonly #names = new Set<string>()
  readonly #prefixes: string[] = []
  /** names seen before that may be there: whether a signature covers them */
  readonly #known = new Map<string, boolean>()
  #last: string[] = []

  /** @param more names to leave unsigned besides the defaults; a trailing `*` stands for any ending */
  constructor(more: readonly string[] = []) {
    for (const name of [...DEFAULT_UNSIGNED_HEADERS, ...more]) {
      if (typeof name !== 'string' || name === '' || name.slice(0, -1).includes('*')) {
        throw new SetupError(
          'option-invalid',
          `unsignedHeaders: ${quote(String(name))} is no header name; write a name, or a beginning and one "*" at its end`,
        )
      }
      if (name.endsWith('*')) this.#prefixes.push(name.slice(0, -1))
      else this.#names.add(name)
    }
  }

  /**
   * The names to cover, ascending, in a list that stays as it is. A token that is there already is left out: a forwarded
   * message gets a fresh one.
   *
   * @throws SetupError `header-reserved`, `header-unsupported`
   */
  covered(headers: Headers | undefined): readonly string[] {
    const names: string[] = []
    let count = 0
    for (const name of Object.keys(headers ?? {})) {
      if (headers?.[name] === undefined || name === TOKEN_HEADER) continue
      if (++count > MAX_HEADERS) {
        throw new SetupError(
          'header-unsupported',
          `a message has at most ${MAX_HEADERS} headers, unsigned ones included; move some into the body`,
        )
      }
      if (this.#covers(name)) names.push(name)
    }
    if (names.length > MAX_COVERED_HEADERS) {
      throw new SetupError(
        'header-unsupported',
        `${names.length} headers are more than the ${MAX_COVERED_HEADERS} a signature covers; move some into the body, or list them in unsignedHeaders`,
      )
    }
    names.sort()
    // The same list for the same names: messages of a kind are told by it, and their names compared no more.
    if (!areEqual(names, this.#last)) this.#last = names
    return this.#last
  }

  #covers(name: string): boolean {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    if (isReservedHeader(name)) {
      throw new SetupError(
        'header-reserved',
        `header ${quote(name)} is reserved for queue-key-auth; rename it, or remove it from a message taken from the dead letters`,
      )
    }
    const isUnsigned = this.#isUnsigned(name)
    if (!isUnsigned && !isCoverableName(name)) {
      throw new SetupError(
        'header-unsupported',
        `header ${quote(name)} cannot be signed: a name is 1 to 128 printable ASCII characters without quotes and backslashes, and none of Object.prototype; rename it, or list it in unsignedHeaders`,
      )
    }
    if (this.#known.size < MAX_KNOWN) this.#known.set(name, !isUnsigned)
    return !isUnsigned
  }

  #isUnsigned(name: string): boolean {
    return this.#names.has(name) || this.#prefixes.some((prefix) => name.startsWith(prefix))
  }
}

function areEqual(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((name, index) => name === others[index])
}
