import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ContainerRuntimeClient } from 'testcontainers'
import { findKafka } from '../../tools/brokers/programs.mjs'
import { imageOf, startContainer } from './docker.ts'
import { probeKafka, probeKafkaGroups } from './kafka-requests.ts'
import type { BrokerKind, BrokerServer } from './kind.ts'
import { startLocalServer, temporaryFolder } from './local-server.ts'
import { freePort } from './ready.ts'

export interface KafkaOptions {
  /** What clients are told to connect to, `host:port`, where it is not the node itself: a proxy before it. */
  readonly advertise?: string
  /** More lines for server.properties; they win over ours. */
  readonly config?: Readonly<Record<string, string>>
  /** Java as it runs a broker in earnest, for measurements; else it starts sooner. In Docker it is always so. */
  readonly fast?: boolean
  /** one of several nodes; not in Docker */
  readonly member?: KafkaMember
}

export interface KafkaMember {
  readonly index: number
  readonly clusterId: string
  /** of all nodes */
  readonly controllerPorts: readonly number[]
}

export interface KafkaServer extends BrokerServer {
  /** `address` as a list. */
  readonly brokers: readonly string[]
}

export const kafka: BrokerKind<KafkaOptions, KafkaServer> = {
  name: 'kafka',
  probe: async (brokers) => {
    await probeKafka(brokers)
    return 'of unknown version'
  },
  isInstalled: () => findKafka() !== undefined,
  startLocally,
  startInDocker,
}

/** One node that is broker and controller, waiting for nobody. */
function oneNode(listeners: readonly string[], advertised: readonly string[], controller: string) {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${controller}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: [...listeners, `CONTROLLER://${controller}`].join(','),
    'advertised.listeners': advertised.join(','),
    'listener.security.protocol.map': 'CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'INTERNAL',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    // A node that was killed is let in again only when its old session is over: 9 s unless told otherwise.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
  }
}

async function startLocally({ advertise, config = {}, fast = false, member }: KafkaOptions): Promise<KafkaServer> {
  const programs = findKafka()
  if (programs === undefined) throw new Error('Kafka is not installed')
  const folder = await temporaryFolder('kafka')
  const [clientPort, internalPort] = [await freePort(), await freePort()]
  const controllerPort = member?.controllerPorts[member.index] ?? (await freePort())
  const address = `127.0.0.1:${clientPort}`
  const internal = `INTERNAL://127.0.0.1:${internalPort}`
  const advertised = [`CLIENT://${advertise ?? address}`, internal]
  const properties = {
    ...oneNode([`CLIENT://${address}`, internal], advertised, `127.0.0.1:${controllerPort}`),
    'log.dirs': join(folder, 'data'),
    ...(member && asMember(member)),
    ...config,
  }
  const propertiesFile = join(folder, 'server.properties')
  const loggingFile = join(folder, 'log4j2.properties')
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(propertiesFile, lines.join(''))
  await writeFile(loggingFile, logging)

  // A small heap, one collector thread and no optimizing compiler: it shall start soon, not run fast.
  const soon = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
  const java = [...(fast ? ['-Xmx1g'] : soon), '-XX:-UsePerfData']
  java.push(`-Djava.io.tmpdir=${folder}`, `-Dlog4j2.configurationFile=${loggingFile}`)
  java.push('-cp', join(programs.libraries, '*'))
  const format = ['kafka.tools.StorageTool', 'format', '-t', member?.clusterId ?? clusterId(), '-c', propertiesFile]
  await promisify(execFile)(programs.java, [...java, ...format])
  const server = await startLocalServer({
    name: 'kafka',
    address,
    folder,
    command: [programs.java, ...java, 'kafka.Kafka', propertiesFile],
    probe: async () => {
      // In a cluster the one that serves groups may be another.
      await (member === undefined ? probeKafkaGroups(address) : probeKafka(address))
      return programs.version
    },
  })
  return { ...server, brokers: [address] }
}

async function startInDocker(
  engine: ContainerRuntimeClient,
  { advertise, config = {} }: KafkaOptions,
): Promise<KafkaServer> {
  const internal = 'INTERNAL://127.0.0.1:9094'
  const container = await startContainer(engine, {
    service: 'kafka',
    port: 9092,
    environment: (hostAndPort) => {
      const advertised = [`CLIENT://${advertise ?? hostAndPort}`, internal]
      const properties = { ...oneNode(['CLIENT://:9092', internal], advertised, '127.0.0.1:9093'), ...config }
      const variable = (name: string): string => `KAFKA_${name.toUpperCase().replaceAll('.', '_')}`
      return Object.fromEntries(Object.entries(properties).map(([name, value]) => [variable(name), value]))
    },
    probe: async (hostAndPort) => {
      await probeKafkaGroups(hostAndPort)
      return imageOf('kafka').split(':')[1] ?? 'of unknown version'
    },
  })
  return { ...container, brokers: [container.address] }
}

/** What is different where there are others: every partition is on all nodes, and two of three must have a record. */
function asMember({ index, controllerPorts }: KafkaMember): Record<string, string> {
  const copies = String(controllerPorts.length)
  return {
    'node.id': String(index + 1),
    'controller.quorum.voters': controllerPorts.map((port, at) => `${at + 1}@127.0.0.1:${port}`).join(','),
    'default.replication.factor': copies,
    'min.insync.replicas': '2',
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': '2',
  }
}

/** 16 random bytes in base64url; a leading dash would be read as an option. */
export function clusterId(): string {
  const id = randomBytes(16).toString('base64url')
  return id.startsWith('-') ? clusterId() : id
}

const logging = `status=error
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c)%n
`
