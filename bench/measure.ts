/** CPU time, side by side: contenders take turns, round after round, so that a busy machine troubles all of them alike. */

export interface Contender {
  readonly name: string
  /** operations that one call does */
  readonly operations: number
  run(): void | Promise<void>
}

/** In milliseconds of CPU. */
export interface Effort {
  /** longer than the compiler takes to have seen enough */
  readonly warmUp: number
  readonly rounds: number
  /** how long a contender runs in one round */
  readonly millis: number
}

/** Median CPU microseconds an operation, by contender. */
export type Medians = ReadonlyMap<string, number>

export async function compare(contenders: readonly Contender[], { warmUp, rounds, millis }: Effort): Promise<Medians> {
  const calls = new Map<Contender, number>()
  for (const contender of contenders) {
    for (let spent = 0; spent < warmUp * 1000; ) spent += await timed(contender, 1)
    let count = 1
    while ((await timed(contender, count)) < (millis * 1000) / 4) count *= 2
    calls.set(contender, count * 2)
  }
  const samples = new Map(contenders.map(({ name }) => [name, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      const count = calls.get(contender) as number
      const micros = await timed(contender, count)
      samples.get(contender.name)?.push(micros / (count * contender.operations))
    }
  }
  return new Map([...samples].map(([name, values]) => [name, median(values)]))
}

async function timed(contender: Contender, calls: number): Promise<number> {
  const since = cpuSince()
  for (let call = 0; call < calls; call++) {
    const done = contender.run()
    if (done !== undefined) await done
  }
  return since()
}

/** Tells how many CPU microseconds this process has used since. */
export function cpuSince(): () => number {
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** The smallest value that a share of `q` of all values does not exceed; undefined without values. */
export function quantile(values: readonly number[], q: number): number | undefined {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)]
}
