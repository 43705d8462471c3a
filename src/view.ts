import { type Headers, type HeaderValue, NO_HEADERS } from './message.ts'

/** Tracing context passes although nobody signed it: tracers change it on the way, and no decision should rest on it. */
const PASSED_UNSIGNED: ReadonlySet<string> = new Set(['traceparent', 'tracestate'])

/** The headers of a message, told apart by whether the handler may rely on them. */
export interface SplitHeaders {
  /** an ordinary object with the signed headers, tracing context and the broker's own metadata */
  readonly visible: Record<string, HeaderValue>
  /** the others, without a prototype, since their names may be hostile */
  readonly unsigned: Headers
}

/** @param brokerHeaders names that the broker itself writes, which the handler sees although anyone could forge them */
export function splitHeaders(
  headers: Headers | undefined,
  coveredHeaders: readonly string[],
  brokerHeaders: ReadonlySet<string>,
): SplitHeaders {
  const visible: Record<string, HeaderValue> = {}
  let unsigned: Record<string, HeaderValue> | undefined
  if (headers === undefined) return { visible, unsigned: NO_HEADERS }
  for (const name of Object.keys(headers)) {
    if (coveredHeaders.includes(name) || PASSED_UNSIGNED.has(name) || brokerHeaders.has(name)) {
      visible[name] = headers[name]
      continue
    }
    unsigned ??= Object.create(null) as Record<string, HeaderValue>
    unsigned[name] = headers[name]
  }
  return { visible, unsigned: unsigned ?? NO_HEADERS }
}
