/** Milliseconds of the monotonic clock, which all processes of a machine share; `performance.now()` begins with each. */
export function now(): number {
  const [seconds, nanos] = process.hrtime()
  return seconds * 1e3 + nanos / 1e6
}
