import { relative } from 'node:path'
import type { TestProject } from 'vitest/node'
import { BrokerMissing, type FoundBroker, findBroker, requiredBrokers } from './choose.ts'
import { kafka } from './kafka.ts'
import type { BrokerKind, BrokerName, BrokerServer } from './kind.ts'
import { findDockerEngine } from './programs.mjs'
import { rabbitmq } from './rabbitmq.ts'
import { redis } from './redis.ts'

declare module 'vitest' {
  /** What tests read with `inject`. An address is undefined where that broker is not there. */
  export interface ProvidedContext {
    amqpUrl: string | undefined
    redisUrl: string | undefined
    /** `host:port` of the brokers to start from. */
    kafkaBrokers: readonly string[] | undefined
    /** The brokers that `startRabbitmq` and its siblings can start here. */
    startableBrokers: readonly BrokerName[]
  }
}

const kinds: readonly BrokerKind<object, BrokerServer>[] = [rabbitmq, kafka, redis]

/** Finds or starts the brokers the selected test files need, once a run, and ends them after it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const required = requiredBrokers()
  const needed = neededBrokers(project)
  const found = new Map<BrokerName, FoundBroker>()
  const stop = async (): Promise<void> => {
    await Promise.all([...found.values()].map((broker) => broker.stop()))
  }
  const failures: unknown[] = []
  const find = async (kind: BrokerKind<object, BrokerServer>): Promise<void> => {
    const started = performance.now()
    try {
      const broker = await findBroker(kind)
      found.set(kind.name, broker)
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      console.log(`${kind.name} ${broker.version}, ${broker.way} (${seconds} s)`)
    } catch (error) {
      if (!(error instanceof BrokerMissing)) failures.push(error)
      else if (required.includes(kind.name)) {
        failures.push(new Error(`${kind.name} is required, but not here: ${error.message}`, { cause: error.cause }))
      } else console.log(`${kind.name} is not here, its tests are SKIPPED. To run them: ${error.message}`)
    }
  }
  await Promise.all(kinds.filter((kind) => needed.includes(kind.name)).map(find))
  if (failures.length > 0) {
    await stop()
    throw failures.length === 1 ? failures[0] : new AggregateError(failures, failures.map(String).join('\n'))
  }
  const engine = await findDockerEngine()
  project.provide('amqpUrl', found.get('rabbitmq')?.address)
  project.provide('redisUrl', found.get('redis')?.address)
  project.provide('kafkaBrokers', found.get('kafka')?.address.split(','))
  project.provide(
    'startableBrokers',
    kinds.filter((kind) => engine !== undefined || kind.isInstalled()).map((kind) => kind.name),
  )
  return stop
}

/**
 * Starting a broker takes seconds, so a run of some files starts only theirs: a file whose path names brokers, such as
 * test/rabbitmq/confirms.test.ts, uses these alone, and any other file may use every one.
 */
function neededBrokers(project: TestProject): readonly BrokerName[] {
  const names = kinds.map((kind) => kind.name)
  if (project.config.watch) return names
  const ours = project.vitest.state.getPaths().filter((path) => project.matchesTestGlob(path))
  return names.filter((name) =>
    ours.some((path) => {
      const named = names.filter((other) => relative(project.config.root, path).includes(other))
      return named.length === 0 || named.includes(name)
    }),
  )
}
