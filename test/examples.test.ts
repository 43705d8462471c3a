import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { uniqueName } from './brokers/index.ts'

/** The packed package, installed into an empty project: every example, and the README's, run as a user runs them. */

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')

/** The examples, with what each needs; undefined: it is not here. */
const EXAMPLES: Readonly<Record<string, Record<string, string> | undefined>> = {
  memory: {},
  rabbitmq: environment('AMQP_URL', inject('amqpUrl')),
  kafka: environment('KAFKA_BROKERS', inject('kafkaBrokers')?.join()),
  'redis-streams': environment('REDIS_URL', inject('redisUrl')),
}

let project: string
const children: ChildProcess[] = []

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'queue-key-auth-project-'))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], { cwd: root })
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string }]
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }))
  const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const clients = ['amqplib', 'kafkajs', 'ioredis'].map((name) => `${name}@${devDependencies[name]}`)
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`, ...clients], {
    cwd: project,
  })
})

afterAll(async () => {
  for (const child of children) child.kill()
  await rm(project, { recursive: true })
})

describe('examples', () => {
  for (const [name, env] of Object.entries(EXAMPLES)) {
    it.skipIf(env === undefined)(name, async () => {
      await copyFile(join(root, 'examples', name, 'main.mjs'), join(project, `${name}.mjs`))
      const { stdout } = await run(process.execPath, [`${name}.mjs`], { cwd: project, env: { ...process.env, ...env } })
      expect(stdout).toBe(await readFile(join(root, 'examples', name, 'expected.txt'), 'utf8'))
    })
  }
})

const url = inject('amqpUrl')

describe.skipIf(url === undefined)("the README's example", () => {
  // Names that other tests do not use, and that the example's patterns fit as well.
  const [exchange, queue] = [uniqueName('orders'), uniqueName('orders.created')]
  const renamed = (code: string): string =>
    code.replaceAll("'orders.created'", `'${queue}'`).replaceAll("'orders'", `'${exchange}'`)

  beforeAll(() =>
    withChannel(async (channel) => {
      await channel.assertExchange(exchange, 'topic', { durable: false })
      await channel.assertQueue(queue, { durable: false })
      await channel.bindQueue(queue, exchange, 'order.created')
    }),
  )

  afterAll(() =>
    withChannel(async (channel) => {
      await channel.deleteQueue(queue)
      await channel.deleteQueue(`${queue}.dlq`)
      await channel.deleteExchange(exchange)
    }),
  )

  it('runs with a key that the package made', async () => {
    const text = await readFile(join(root, 'README.md'), 'utf8')
    const [producer = '', consumer = ''] = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
    const command = join(project, 'node_modules/.bin/queue-key-auth')
    const { stdout: line } = await run(command, ['keygen', 'checkout', '--queues', 'orders.*'], { cwd: project })
    const ownKey = producer.replace('/run/secrets/checkout.key', join(project, 'checkout.key'))
    const ownLine = consumer.replace('checkout queues="orders.*" ssh-ed25519 AAAA… 2026q4', line.trim())
    expect(ownKey).not.toBe(producer)
    expect(ownLine).not.toBe(consumer)
    const output = await start('consumer.mjs', renamed(ownLine))
    await start('producer.mjs', renamed(ownKey))
    await expect.poll(output).toContain('checkout sent {"id":1}')
  })
})

/** Runs a program that does not end by itself. */
async function start(file: string, source: string): Promise<() => string> {
  await writeFile(join(project, file), `const url = ${JSON.stringify(url)}\n${source}`)
  const child = spawn(process.execPath, [file], { cwd: project })
  children.push(child)
  let output = ''
  child.stdout.on('data', (data) => {
    output += data
  })
  child.stderr.on('data', (data) => {
    output += data
  })
  return () => output
}

async function withChannel(
  work: (channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createChannel']>>) => Promise<void>,
): Promise<void> {
  const connection = await connect(url as string)
  await work(await connection.createChannel())
  await connection.close()
}

function environment(name: string, value: string | undefined): Record<string, string> | undefined {
  return value === undefined ? undefined : { [name]: value }
}
