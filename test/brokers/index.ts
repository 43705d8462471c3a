import { randomUUID } from 'node:crypto'
import { startServer } from './choose.ts'
import { type RabbitmqOptions, type RabbitmqServer, rabbitmq } from './rabbitmq.ts'

export type { BrokerName, BrokerServer } from './kind.ts'
export type { RabbitmqOptions, RabbitmqServer } from './rabbitmq.ts'

/** A RabbitMQ of the test's own, to kill, restart and configure. Stop it in `afterAll`. */
export function startRabbitmq(options: RabbitmqOptions = {}): Promise<RabbitmqServer> {
  return startServer(rabbitmq, options)
}

/** A name no other test uses, for queues, exchanges, topics, streams and groups. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 13)}`
}
