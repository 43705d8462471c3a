/**
 * Whether something has to be waited for. Not `instanceof Promise`: what an application returns may be a promise of
 * another realm (under Jest, each one that Node's own modules make is), or of a library.
 */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
