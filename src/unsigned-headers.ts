import { isCoverableName, MAX_COVERED_HEADERS } from './covered-parts.ts'
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

/** Chooses the headers a signature covers. */
export class HeaderSelection {
  readonly #names = new Set<string>()
  readonly #prefixes: string[] = []

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
   * The names to cover, ascending. A token that is there already is left out: a forwarded message gets a fresh one.
   *
   * @throws SetupError `header-reserved`, `header-unsupported`
   */
  covered(headers: Headers | undefined): string[] {
    if (headers === undefined) return []
    const names: string[] = []
    for (const name of Object.keys(headers)) {
      if (headers[name] === undefined || name === TOKEN_HEADER) continue
      if (isReservedHeader(name)) {
        throw new SetupError(
          'header-reserved',
          `header ${quote(name)} is reserved for queue-key-auth; rename it, or remove it from a message taken from the dead letters`,
        )
      }
      if (this.#isUnsigned(name)) continue
      if (!isCoverableName(name)) {
        throw new SetupError(
          'header-unsupported',
          `header ${quote(name)} cannot be signed: a name is 1 to 128 printable ASCII characters without quotes and backslashes, and none of Object.prototype; rename it, or list it in unsignedHeaders`,
        )
      }
      names.push(name)
    }
    if (names.length > MAX_COVERED_HEADERS) {
      throw new SetupError(
        'header-unsupported',
        `${names.length} headers are more than the ${MAX_COVERED_HEADERS} a signature covers; move some into the body, or list them in unsignedHeaders`,
      )
    }
    return names.sort()
  }

  #isUnsigned(name: string): boolean {
    return this.#names.has(name) || this.#prefixes.some((prefix) => name.startsWith(prefix))
  }
}
