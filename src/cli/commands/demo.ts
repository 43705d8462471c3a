import { Argument, Command } from 'commander'
import { openMemory } from '../demo/memory.ts'
import { isAsExpected, type Performance, play } from '../demo/play.ts'
import { openRabbitmq } from '../demo/rabbitmq.ts'
import { report } from '../demo/report.ts'
import type { DemoTransport } from '../demo/transport.ts'
import { CommandError, NAME, print, printJson } from '../output.ts'

const TRANSPORTS: Readonly<Record<string, () => Promise<DemoTransport>>> = {
  memory: openMemory,
  rabbitmq: openRabbitmq,
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('show attacks on a queue, and what becomes of each message')
    .usage(`[${Object.keys(TRANSPORTS).join('|')}] [--json]`)
    .addArgument(new Argument('[broker]', 'where to show it').choices(Object.keys(TRANSPORTS)).default('memory'))
    .option('--json', 'print JSON in place of the report')
    .addHelpText(
      'after',
      `
On a real RabbitMQ, with amqplib installed in this folder:
  AMQP_URL=amqp://localhost queue-key-auth demo rabbitmq
It makes queues of its own and deletes them afterwards.

Exits with 1 when a message does not end as it should.`,
    )
    .action(demo)
}

async function demo(broker: string, { json }: { json?: true }): Promise<void> {
  const transport = await (TRANSPORTS[broker] ?? openMemory)()
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
    print(report(transport.title, performance, process.stdout.isTTY && process.stdout.hasColors()))
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
