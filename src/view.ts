import type { Headers, HeaderValue } from './message.ts'

/** Tracing context passes although nobody signed it: tracers change it on the way, and no decision should rest on it. */
const PASSED_UNSIGNED: ReadonlySet<string> = new Set(['traceparent', 'tracestate'])

/** The headers of a message, told apart by whether the handler may rely on them. */
export interface SplitHeaders {
  /** an ordinary object with the signed headers, tracing context and the broker's own metadata */
  readonly visible: Record<string, HeaderValue>
  /** the others, without a prototype, since their names may be hostile */
  readonly unsigned: Record<string, HeaderValue>
}

/** @param brokerHeaders names that the broker itself writes, which the handler sees although anyone could forge them */
export function splitHeaders(
  headers: Headers | undefined,
  coveredHeaders: readonly string[],
  brokerHeaders: ReadonlySet<string>,
): SplitHeaders {
  const visible: Record<string, HeaderValue> = {}
  const unsigned: Record<string, HeaderValue> = Object.create(null) as Record<string, HeaderValue>
  for (const name of Object.keys(headers ?? {})) {
    const passes = coveredHeaders.includes(name) || PASSED_UNSIGNED.has(name) || brokerHeaders.has(name)
    const target = passes ? visible : unsigned
    target[name] = headers?.[name]
  }
  return { visible, unsigned }
}
