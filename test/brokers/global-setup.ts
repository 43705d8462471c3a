import { relative } from 'node:path'
import type { TestProject } from 'vitest/node'
import { findDockerEngine } from '../../tools/brokers/programs.mjs'
import { requiredBrokers } from './choose.ts'
import { brokersNamedBy, findBrokers, stopBrokers } from './find-brokers.ts'
import { kafka } from './kafka.ts'
import type { BrokerKind, BrokerName, BrokerServer } from './kind.ts'
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
  const needed = neededBrokers(project)
  const found = await findBrokers(
    kinds.filter((kind) => needed.includes(kind.name)),
    { required: requiredBrokers(), say: (line) => console.log(line) },
  )
  const engine = await findDockerEngine()
  const startable = kinds.filter((kind) => engine !== undefined || kind.isInstalled()).map((kind) => kind.name)
  project.provide('amqpUrl', found.get('rabbitmq')?.address)
  project.provide('redisUrl', found.get('redis')?.address)
  project.provide('kafkaBrokers', found.get('kafka')?.address.split(','))
  project.provide('startableBrokers', startable)
  return () => stopBrokers(found)
}

function neededBrokers(project: TestProject): readonly BrokerName[] {
  const names = kinds.map((kind) => kind.name)
  if (project.config.watch) return names // other files may follow
  const paths = project.vitest.state.getPaths().filter((path) => project.matchesTestGlob(path))
  return brokersNamedBy(
    paths.map((path) => relative(project.config.root, path)),
    names,
  )
}
