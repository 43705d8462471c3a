/**
 * Which broker programs this machine has. Plain JavaScript, since the installer runs it without a compiler; the types
 * stand in programs.d.mts.
 */
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { cacheFolder, insideRoot, installedRoot } from './roots.mjs'

/** Kafka releases to take, the most wanted first: a mirror may not serve the newest. */
export const kafkaVersions = ['4.4.0', '4.3.1', '4.2.1', '4.1.2', '4.0.2']

/** What to do when a broker is missing. */
export const howToGet = {
  rabbitmq:
    'set TEST_AMQP_URL, start Docker, or install rabbitmq-server (Debian: as root, node tools/brokers/install.mjs)',
  kafka: 'set TEST_KAFKA_BROKERS, start Docker, or install Java 17 and Maven and run node tools/brokers/install.mjs',
  redis: 'set TEST_REDIS_URL, start Docker, or install redis-server (Debian: as root, node tools/brokers/install.mjs)',
}

/** The variable that holds a broker's address, where one runs already. */
export const addressVariable = {
  rabbitmq: 'TEST_AMQP_URL',
  kafka: 'TEST_KAFKA_BROKERS',
  redis: 'TEST_REDIS_URL',
}

export function findProgram(name, folders = (process.env.PATH ?? '').split(delimiter)) {
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

/** Commands, each a program and its first arguments: those of another Debian release where its root folder is here. */
export function findRabbitmq() {
  const root = installedRoot()
  if (root !== undefined) {
    const program = (path) => insideRoot(root, path)
    return {
      server: program('/usr/lib/rabbitmq/bin/rabbitmq-server'),
      control: program('/usr/lib/rabbitmq/bin/rabbitmqctl'),
      epmd: program('/usr/bin/epmd'),
    }
  }
  // Debian's wrapper in sbin changes the user and logs to the system, so the programs behind it come first.
  const behindWrappers = [
    '/usr/lib/rabbitmq/bin',
    '/opt/rabbitmq/sbin',
    '/opt/homebrew/opt/rabbitmq/sbin',
    '/usr/local/opt/rabbitmq/sbin',
  ]
  const server = findProgram('rabbitmq-server', behindWrappers) ?? findProgram('rabbitmq-server')
  const epmd = findProgram('epmd')
  if (server === undefined || epmd === undefined) return undefined
  return { server: [server], control: [join(dirname(server), 'rabbitmqctl')], epmd: [epmd] }
}

/** `TEST_REDIS_SERVER=valkey-server` takes Valkey. */
export function findRedis() {
  const name = process.env.TEST_REDIS_SERVER || 'redis-server'
  const root = installedRoot()
  if (root !== undefined) return insideRoot(root, `/usr/bin/${name}`)
  const program = findProgram(name)
  return program === undefined ? undefined : [program]
}

/** Where what is fetched for the tests stays: Kafka's jars, other releases of Debian, other versions of Node.js. */
export { cacheFolder }

/** Kafka is its jars: `KAFKA_HOME` where it is set, else what the installer has fetched, the newest first. */
export function findKafka() {
  const java = findProgram('java', process.env.JAVA_HOME ? [join(process.env.JAVA_HOME, 'bin')] : undefined)
  if (java === undefined) return undefined
  const fetched = kafkaVersions.map((version) => join(cacheFolder(), `kafka-${version}`))
  const folders = process.env.KAFKA_HOME ? [join(process.env.KAFKA_HOME, 'libs'), ...fetched] : fetched
  for (const libraries of folders) {
    const version = kafkaVersionIn(libraries)
    if (version !== undefined) return { java, libraries, version }
  }
  return undefined
}

function kafkaVersionIn(folder) {
  try {
    return readdirSync(folder)
      .join('\n')
      .match(/^kafka_2\.13-(4\.[\d.]+)\.jar$/m)?.[1]
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Asks testcontainers, so that it and the installer never disagree about where an engine listens. */
export async function findDockerEngine() {
  const { getContainerRuntimeClient } = await import('testcontainers')
  return await getContainerRuntimeClient().catch(() => undefined)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
