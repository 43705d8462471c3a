import { Argument, Command } from 'commander'
import { isAsExpected, type Performance, play } from '../demo/play.ts'
import { report } from '../demo/report.ts'
import type { DemoTransport } from '../demo/transport.ts'
import { CommandError, NAME, print, printAsIs, printJson } from '../output.ts'

/** Loaded when asked for: the other commands start without any adapter. */
const TRANSPORTS: ReadonlyMap<string, () => Promise<DemoTransport>> = new Map([
  ['memory', async () => (await import('../demo/memory.ts')).openMemory()],
  ['rabbitmq', async () => (await import('../demo/rabbitmq.ts')).openRabbitmq()],
  ['kafka', async () => (await import('../demo/kafka.ts')).openKafka()],
  ['redis', async () => (await import('../demo/redis.ts')).openRedis()],
])
const NAMES = [...TRANSPORTS.keys()]

export function demoCommand(): Command {
  return new Command('demo')
    .description('show attacks on a queue, and what becomes of each message')
    .usage(`[${NAMES.join('|')}] [--json]`)
    .addArgument(new Argument('[broker]', 'where to show it').choices(NAMES).default('memory'))
    .option('--json', 'print JSON in place of the report')
    .addHelpText(
      'after',
      `
On a real RabbitMQ, with amqplib installed in this folder:
  AMQP_URL=amqp://localhost queue-key-auth demo rabbitmq
On a real Kafka, with kafkajs:
  KAFKA_BROKERS=localhost:9092 queue-key-auth demo kafka
On a real Redis, with ioredis installed in this folder:
  REDIS_URL=redis://localhost queue-key-auth demo redis
It makes queues of its own and deletes them afterwards.

Exits with 1 when a message does not end as it should.`,
    )
    .action(demo)
}

async function demo(broker: string, { json }: { json?: true }): Promise<void> {
  const open = TRANSPORTS.get(broker)
  if (open === undefined) throw new Error(`there is no demo on ${broker}`)
  const transport = await open()
  let performance: Performance
  try {
    performance = await play(transport)
  } finally {
    await transport.close()
  }
  const { results } = performance
  if (json) {
    printJson(results.map(({ scenario: { what, expected }, actual }) => ({ what, expected, actual })))
  } else {
    printAsIs(report(transport.title, performance, process.stdout.isTTY && process.stdout.hasColors()))
    print(`\n${nextSteps(broker)}`)
  }
  const unexpected = results.filter((result) => !isAsExpected(result)).length
  if (unexpected > 0) throw new CommandError(`${unexpected} of ${results.length} messages did not end as they should`)
}

function nextSteps(broker: string): string {
  const again = process.env.npm_lifecycle_event === 'demo' ? 'npm run demo --' : `npx ${NAME} demo`
  const steps = [
    ...(broker === 'memory' ? [['on a real broker:', `AMQP_URL=amqp://localhost ${again} rabbitmq`]] : []),
    ['a key of your own:', `npx ${NAME} keygen checkout --queues "orders.*"`],
    ['in your code:', 'README.md, "In four steps"; the codes: docs/reasons.md'],
  ]
  return ['Try next', ...steps.map(([what = '', how = '']) => `  ${what.padEnd(18)}  ${how}`)].join('\n')
}
