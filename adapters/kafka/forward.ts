import { sharedByBuilds } from '../../src/across-builds.ts'
import { type Headers, type HeaderValue, TOKEN_HEADER } from '../../src/message.ts'
import { Inspection, inspectionOf, mark } from '../../src/verdict.ts'
import type { KafkaMessage, OutgoingMessage } from './client.ts'

/**
 * The token of a delivered record: its handler does not see it among the headers, and passes it on with them all the same.
 */

/** What is remembered on a record that was verified. */
export class RecordInspection extends Inspection {
  /** private, so that printing a record does not print it */
  readonly #token: HeaderValue

  constructor(token: HeaderValue, ...rest: ConstructorParameters<typeof Inspection>) {
    super(...rest)
    this.#token = token
  }

  token(): HeaderValue {
    return this.#token
  }
}

/**
 * By the headers that a handler got. Nothing is put on them, since applications list, log and compare headers. Registered,
 * so that two copies of this package in one program agree on it.
 */
const DELIVERED = sharedByBuilds('kafka.headers', () => new WeakMap<object, RecordInspection>())

/** The token travels with this object from now on. */
export function keepToken(headers: object, inspection: RecordInspection): void {
  DELIVERED.set(headers, inspection)
}

/** What was remembered on a record that is about to be passed on, or on its headers. */
export function deliveredAs(message: Pick<OutgoingMessage, 'headers'>): Inspection | undefined {
  const { headers } = message
  const known = inspectionOf(message)
  if (known !== undefined || typeof headers !== 'object' || headers === null) return known
  return DELIVERED.get(headers) ?? inspectionOf(headers)
}

/** The token of its first sender that a record takes along; undefined: it has none. */
export function tokenOf(inspection: Inspection | undefined): HeaderValue {
  return (inspection as Partial<RecordInspection> | undefined)?.token?.()
}

/**
 * The headers of a record that a handler got, with its token, for passing it on through a client that is not wrapped, or
 * with other headers beside them. A producer with `preserveToken` finds the token of `message.headers` by itself.
 *
 * ```ts
 * await releaseForRetry(message)
 * const headers = { ...headersToForward(message), 'x-attempt': '2' }
 * await plain.send({ topic: 'orders-retry', messages: [{ key: message.key, value: message.value, headers }] })
 * ```
 */
export function headersToForward(message: KafkaMessage): Record<string, Buffer | string | (Buffer | string)[]> {
  const headers: Headers = { ...message.headers }
  const inspection = deliveredAs(message)
  const token = tokenOf(inspection)
  if (inspection !== undefined && token !== undefined) {
    Object.assign(headers, { [TOKEN_HEADER]: token })
    // A spread copy keeps it, and no client writes it.
    mark(headers, inspection)
  }
  return headers as never
}
