import { BrokerMissing, type FoundBroker, findBroker } from './choose.ts'
import type { BrokerKind, BrokerName, BrokerServer } from './kind.ts'

export interface FindOptions {
  /** Those whose absence is a failure. */
  readonly required: readonly string[]
  readonly say: (line: string) => void
  readonly find?: typeof findBroker
}

/**
 * Finds all of `kinds` at the same time and says a line about each. A missing broker is left out of the answer, unless
 * it is required. When anything fails, what was started is stopped again.
 */
export async function findBrokers(
  kinds: readonly BrokerKind<object, BrokerServer>[],
  { required, say, find = findBroker }: FindOptions,
): Promise<ReadonlyMap<BrokerName, FoundBroker>> {
  const found = new Map<BrokerName, FoundBroker>()
  const failures: Error[] = []
  const findOne = async (kind: BrokerKind<object, BrokerServer>): Promise<void> => {
    const started = performance.now()
    try {
      const broker = await find(kind)
      found.set(kind.name, broker)
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      say(`${kind.name} ${broker.version}, ${broker.way} (${seconds} s)`)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      if (!(error instanceof BrokerMissing)) failures.push(error)
      else if (required.includes(kind.name)) {
        failures.push(new BrokerMissing(`${kind.name} is required: ${error.message}`, { cause: error.cause }))
      } else say(`${kind.name} is not here and its tests are SKIPPED; to run them ${error.message}`)
    }
  }
  await Promise.all(kinds.map(findOne))
  const [first, ...more] = failures
  if (first === undefined) return found
  await stopBrokers(found)
  throw more.length === 0 ? first : new AggregateError(failures, failures.map((failure) => failure.message).join('\n'))
}

export async function stopBrokers(found: ReadonlyMap<BrokerName, FoundBroker>): Promise<void> {
  await Promise.all([...found.values()].map((broker) => broker.stop()))
}

/**
 * Starting a broker takes seconds, so a run of some files starts only theirs: a file whose path names brokers, such as
 * test/rabbitmq/confirms.test.ts, uses these alone, and any other file may use every one.
 *
 * @param paths relative to the root of the repository
 */
export function brokersNamedBy(paths: readonly string[], names: readonly BrokerName[]): readonly BrokerName[] {
  const uses = (path: string): readonly BrokerName[] => {
    const named = names.filter((name) => path.includes(name))
    return named.length > 0 ? named : names
  }
  const used = new Set(paths.flatMap(uses))
  return names.filter((name) => used.has(name))
}
