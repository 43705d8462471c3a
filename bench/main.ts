import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, platform, release, totalmem } from 'node:os'
import type { Algorithm } from '../src/keys/algorithms.ts'
import { type Bar, barChart } from './charts.ts'
import { type Goal, goalLine, type Reasons } from './goals.ts'
import { growthOfLines, growthOfMemory } from './growth.ts'
import { opensslSpeed, opensslVersion } from './openssl.ts'
import { type Load, type Measured, measureRabbitmq, WAYS, type Way } from './rabbitmq.ts'
import { compareBatches, compareSingle } from './tokens.ts'

const quick = process.argv.includes('--quick')
const effort = quick ? { rounds: 3, millis: 20 } : { rounds: 9, millis: 100 }
const algorithms: readonly Algorithm[] = quick ? ['Ed25519'] : ['Ed25519', 'ES256', 'RS256']
const bodies = quick ? [1024] : [100, 1024, 10_240, 102_400]
const sizes = [8, 64, 256, 1024]
const size = quick ? { rounds: 1, total: 20_000 } : { rounds: 5, total: 100_000 }
const loads: readonly Load[] = [
  { name: 'transient', persistent: false, handlerMicros: 0 },
  ...(quick ? [] : [{ name: 'persistent, confirms', persistent: true, handlerMicros: 0 }]),
  { name: 'transient, 100 µs of work', persistent: false, handlerMicros: 100 },
  { name: 'low load, 200 a second', persistent: false, handlerMicros: 0, rate: 200 },
]
const counts = quick ? [1_000, 100_000] : [1_000, 100_000, 1_000_000, 10_000_000]

const output = new URL('../../../../docs/', import.meta.url)
const goals: Goal[] = []
const charts: { file: string; svg: string }[] = []
const parts: string[] = []

const goal = (name: string, reached: number | undefined, by: Goal['by'], wanted: number): void => {
  goals.push({ name, reached, by, wanted })
}
const section = (...lines: readonly string[]): void => {
  parts.push(lines.join('\n'))
  console.log(`\n${lines.join('\n')}`)
}
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
const number = (value: number | undefined, digits = 1): string => value?.toFixed(digits) ?? '–'
const progress = (what: string): void => console.error(`… ${what}`)
const sizeName = (bytes: number): string => (bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`)

function versionOf(name: string): string {
  const file = new URL(`../../../${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

section(
  ...table(
    ['machine', ''],
    [
      ['processor', `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} CPUs`],
      ['memory', `${Math.round(totalmem() / 2 ** 30)} GiB`],
      ['system', `${platform()} ${release()}`],
      ['Node.js', `${process.version}, OpenSSL ${process.versions.openssl}`],
      ['openssl speed', opensslVersion()],
      ...['jose', 'fast-jwt', 'amqplib'].map((name) => [name, versionOf(name)]),
      ['run', quick ? 'quick: few rounds, so the numbers are rough' : 'full'],
    ],
  ),
)

await tokens()
await growth()
await rabbitmq()
await finish()

async function tokens(): Promise<void> {
  const bars: Bar[] = []
  for (const algorithm of algorithms) {
    progress(`openssl speed, ${algorithm}`)
    const limit = opensslSpeed(algorithm, quick ? 1 : 3)
    for (const bytes of bodies) {
      progress(`tokens, ${algorithm}, ${sizeName(bytes)}`)
      const single = await compareSingle(algorithm, bytes, effort)
      const batch = await compareBatches(algorithm, bytes, sizes, effort)
      const signing = new Map([...single.sign, ...batch.sign])
      const verifying = new Map([...single.verify, ...batch.verify])
      const rows = [...signing.keys()].map((name) => [name, number(signing.get(name)), number(verifying.get(name))])
      if (limit !== undefined) rows.unshift(['openssl speed', number(limit.sign), number(limit.verify)])
      section(
        `### ${algorithm}, bodies of ${sizeName(bytes)}: CPU µs a message`,
        '',
        ...table(['', 'sign', 'verify'], rows),
      )
      if (algorithm !== 'Ed25519' || bytes !== 1024) continue
      for (const [group, medians] of [
        ['sign', signing],
        ['verify', verifying],
      ] as const) {
        for (const [name, value] of medians) bars.push({ group, name, value })
      }
      const ratio = (medians: ReadonlyMap<string, number>, other: string, own: string): number =>
        (medians.get(other) as number) / (medians.get(own) as number)
      goal(
        'sign, single, against openssl speed',
        limit && limit.sign / (signing.get('single') as number),
        'at least',
        1,
      )
      goal('sign, single, against sequential jose', ratio(signing, 'jose', 'single'), 'at least', 2.5)
      goal('sign, single, against fast-jwt', ratio(signing, 'fast-jwt', 'single'), 'at least', 1)
      goal('verify, single, against node:crypto', ratio(verifying, 'node:crypto', 'single'), 'at least', 0.95)
      goal('verify, single, against fast-jwt', ratio(verifying, 'fast-jwt', 'single'), 'at least', 1)
      goal('sign, batch of 256, against jose', ratio(signing, 'jose, 32 in flight', 'batch of 256'), 'at least', 24)
      goal('verify, batch of 256, against jose', ratio(verifying, 'jose, 32 in flight', 'batch of 256'), 'at least', 30)
    }
  }
  charts.push({ file: 'tokens.svg', svg: await barChart('Ed25519, 1 KiB', 'CPU µs a message', bars) })
}

async function growth(): Promise<void> {
  progress('growth with authorized lines')
  const lines = await growthOfLines([1, 10_000], effort)
  const rows = [...lines].map(([count, micros]) => [String(count), number(micros)])
  section('### Authorized lines: CPU µs of a verification', '', ...table(['lines', 'µs'], rows))
  goal('10,000 lines against 1', (lines.get(10_000) as number) / (lines.get(1) as number), 'at most', 1.1)
  progress('growth with messages')
  const memory = await growthOfMemory(counts)
  const megabytes = [...memory].map(([count, value]) => [count.toLocaleString('en'), number(value, 0)])
  section('### Messages verified: resident memory', '', ...table(['messages', 'MiB'], megabytes))
  // The replay store fills up with its 500,000 entries first; from there on memory should stay flat.
  const full = memory.get(1_000_000)
  goal(
    'memory, 10 million messages against 1 million',
    full && (memory.get(10_000_000) as number) / full,
    'at most',
    1.1,
  )
}

async function rabbitmq(): Promise<void> {
  const results = await measureRabbitmq(loads, size, progress)
  const bars: Bar[] = []
  for (const [name, ways] of results) {
    const isLow = name.startsWith('low')
    const head = isLow
      ? ['', 'p50 ms', 'p99 ms']
      : ['', 'messages a second', 'share', 'producer µs', 'consumer µs', 'broker µs', 'bytes sent']
    const rows = WAYS.map((way) => {
      const measured = ways.get(way) as Measured
      if (isLow) return [way, number(measured.p50, 2), number(measured.p99, 2)]
      const { messagesPerSecond, share, producerMicros, consumerMicros, brokerMicros, bytes } = measured
      const micros = [producerMicros, consumerMicros, brokerMicros].map((value) => number(value))
      return [way, number(messagesPerSecond, 0), number(share, 2), ...micros, number(bytes, 0)]
    })
    section(`### RabbitMQ, ${name}, 1 KiB bodies`, '', ...table(head, rows))
    if (!isLow) for (const way of WAYS) bars.push({ group: name, name: way, value: (ways.get(way) as Measured).share })
  }
  charts.push({ file: 'rabbitmq.svg', svg: await barChart('RabbitMQ', 'share of the unsigned program', bars) })
  const of = (load: string, way: Way): Measured | undefined => results.get(load)?.get(way)
  const against = (load: string, way: Way, other: Way, pick: (measured: Measured) => number): number | undefined => {
    const [own, others] = [of(load, way), of(load, other)]
    return own && others && pick(own) / pick(others)
  }
  const rate = ({ messagesPerSecond }: Measured): number => messagesPerSecond
  const batch = of('transient', 'batch')
  const unsigned = of('transient', 'unsigned')
  goal('RabbitMQ, transient, batch', batch?.share, 'at least', 0.7)
  goal('RabbitMQ, persistent with confirms, batch', of('persistent, confirms', 'batch')?.share, 'at least', 0.75)
  goal('RabbitMQ, batch against a header of the size', against('transient', 'batch', 'header', rate), 'at least', 0.85)
  goal('RabbitMQ, batch, 100 µs of work', of('transient, 100 µs of work', 'batch')?.share, 'at least', 0.9)
  goal('RabbitMQ, batch against single', against('transient', 'batch', 'single', rate), 'at least', 4)
  goal(
    'RabbitMQ, batch, producer CPU µs added',
    batch && unsigned && batch.producerMicros - unsigned.producerMicros,
    'at most',
    8,
  )
  goal(
    'RabbitMQ, batch, consumer CPU µs added',
    batch && unsigned && batch.consumerMicros - unsigned.consumerMicros,
    'at most',
    6,
  )
  const low = loads.at(-1)?.name as string
  goal(
    'RabbitMQ, latency of gathering at low load',
    against(low, 'batch', 'single', ({ p50 }) => p50 ?? 0),
    'at most',
    1.1,
  )
}

async function finish(): Promise<void> {
  const reasons = JSON.parse(
    readFileSync(new URL('../../../../bench/missed-goals.json', import.meta.url), 'utf8'),
  ) as Reasons
  section('## Goals', '', '```', ...goals.map((each) => goalLine(each, reasons)), '```')
  const goalPart = parts.pop() as string
  const images = charts.map(({ file }) => `![${file}](benchmarks/${file})`)
  const intro = [
    '# Benchmarks',
    '',
    'Written by `npm run bench` (`-- --quick`: two minutes). CPU time, medians, contenders in turn in one run: ratios hold better than',
    'absolutes. *header* is the unsigned program with a header as long as a token; *share* is of the unsigned program.',
  ].join('\n')
  await mkdir(new URL('benchmarks/', output), { recursive: true })
  for (const { file, svg } of charts) await writeFile(new URL(`benchmarks/${file}`, output), svg)
  await writeFile(new URL('benchmarks.md', output), `${[intro, goalPart, ...images, ...parts].join('\n\n')}\n`)
  console.log('\nwritten to docs/benchmarks.md')
}
