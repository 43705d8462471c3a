/**
 * Brings the brokers' programs to a Debian machine without Docker, for `npm run test:all`: the newest that Debian packages,
 * in a root folder of their own, or else those of the machine's own release (`TEST_DEBIAN=machine`). What is there already
 * is used; what may not be installed is named, with what to do instead. Whether the tests can do without a broker is for
 * the test run to say (TEST_REQUIRE_BROKERS), so missing ones are no failure here.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianMirror, installWithApt, run, say } from './apt.mjs'
import {
  addressVariable,
  cacheFolder,
  findDockerEngine,
  findKafka,
  findProgram,
  findRabbitmq,
  findRedis,
  kafkaVersions,
} from './programs.mjs'
import { installedRoot, makeRoot, releases } from './roots.mjs'

const find = {
  rabbitmq: () => findRabbitmq()?.server.at(-1),
  redis: () => findRedis()?.at(-1),
  kafka: () => findKafka()?.libraries,
}

function missingBrokers() {
  return Object.keys(find).filter((name) => !process.env[addressVariable[name]] && find[name]() === undefined)
}

async function install(missing) {
  const packages = []
  if (missing.includes('rabbitmq')) packages.push('rabbitmq-server')
  if (missing.includes('redis')) packages.push('redis-server')
  if (missing.includes('kafka')) {
    if (findProgram('java') === undefined) packages.push('default-jre-headless')
    if (findProgram('mvn') === undefined) packages.push('maven')
  }
  if (packages.length > 0) await installWithApt(packages)
  if (missing.includes('kafka')) await fetchKafka()
}

/** The first of the releases that can be had. It takes a minute or two, once. */
async function installNewest() {
  const wanted = process.env.TEST_DEBIAN
  const given = ['rabbitmq', 'redis'].every((name) => process.env[addressVariable[name]])
  if (given || wanted === 'machine' || process.getuid?.() !== 0) return
  if (!wanted && installedRoot() !== undefined) return
  const mirror = await debianMirror()
  if (mirror === undefined) return
  if (findProgram('debootstrap') === undefined) await installWithApt(['debootstrap'])
  for (const release of wanted ? [wanted] : releases) {
    try {
      if ((await makeRoot(release, mirror, run)) !== undefined) return
      say(`Debian ${release}: its programs cannot be run here, since this user may not mount`)
      return
    } catch (error) {
      say(error.message.slice(-400))
    }
  }
}

/** Apache Kafka is its jars, which Maven gathers; they appear in the cache all at once, so a half is never used. */
async function fetchKafka() {
  const mvn = findProgram('mvn')
  if (mvn === undefined || !(await hasJava17())) {
    say('Apache Kafka needs Java 17 or later and Maven (java, mvn) on the PATH; install both and run this again')
    return
  }
  mkdirSync(cacheFolder(), { recursive: true })
  for (const version of kafkaVersions) {
    const folder = mkdtempSync(join(tmpdir(), 'queue-key-auth-kafka-pom-'))
    const partial = mkdtempSync(join(cacheFolder(), 'partial-'))
    try {
      writeFileSync(join(folder, 'pom.xml'), kafkaPom(version))
      const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
      const args = ['-B', '-q', '-f', join(folder, 'pom.xml'), goal, '-DincludeScope=runtime']
      await run(`fetching Apache Kafka ${version} with Maven`, mvn, [...args, `-DoutputDirectory=${partial}`])
      renameSync(partial, join(cacheFolder(), `kafka-${version}`))
      return
    } catch (error) {
      // Maven says the same at length; its first line names the artifact that could not be had.
      say(`  ${(error.message.match(/\[ERROR\] .*/)?.[0] ?? error.message).slice(0, 400)}`)
    } finally {
      rmSync(folder, { recursive: true, force: true })
      rmSync(partial, { recursive: true, force: true })
    }
  }
}

async function hasJava17() {
  const java = findProgram('java')
  if (java === undefined) return false
  const printed = await run(undefined, java, ['-version'])
  return Number(printed.match(/version "(\d+)/)?.[1]) >= 17
}

function kafkaPom(version) {
  const dependencies = [
    ['org.apache.kafka', 'kafka_2.13', version],
    ['org.slf4j', 'slf4j-api', '2.0.20'],
    ['org.apache.logging.log4j', 'log4j-core', '2.26.1'],
    ['org.apache.logging.log4j', 'log4j-slf4j2-impl', '2.26.1'],
  ]
  const coordinates = (group, artifact, release) =>
    `<groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${release}</version>`
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
${coordinates('local', 'kafka-for-tests', '1')}
<dependencies>
${dependencies.map((dependency) => `<dependency>${coordinates(...dependency)}</dependency>`).join('\n')}
</dependencies></project>
`
}

if (Object.values(addressVariable).some((variable) => !process.env[variable])) {
  if ((await findDockerEngine()) !== undefined) {
    say('a Docker engine answers: the tests run their brokers in it, nothing to install')
    process.exit()
  }
  await installNewest()
  const missing = missingBrokers()
  if (missing.length > 0) await install(missing)
}
for (const name of Object.keys(find)) {
  const variable = addressVariable[name]
  const place = process.env[variable] ? `given in ${variable}` : (find[name]() ?? 'not installed')
  const root = name === 'kafka' || process.env[variable] ? undefined : installedRoot()
  say(`${name}: ${root ?? ''}${place}`)
}
