import { randomUUID } from 'node:crypto'
import { startServer } from './choose.ts'
import { type KafkaOptions, type KafkaServer, kafka } from './kafka.ts'
import { type RabbitmqOptions, type RabbitmqServer, rabbitmq } from './rabbitmq.ts'
import { type RedisOptions, type RedisServer, redis } from './redis.ts'

export type { KafkaOptions, KafkaServer } from './kafka.ts'
export type { BrokerName, BrokerServer } from './kind.ts'
export type { RabbitmqOptions, RabbitmqServer } from './rabbitmq.ts'
export type { RedisOptions, RedisServer } from './redis.ts'

/** A RabbitMQ of the test's own, to kill, restart and configure. Stop it in `afterAll`. */
export function startRabbitmq(options: RabbitmqOptions = {}): Promise<RabbitmqServer> {
  return startServer(rabbitmq, options)
}

/** A Kafka of the test's own, one node. */
export function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  return startServer(kafka, options)
}

/** A Redis of the test's own. */
export function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  return startServer(redis, options)
}

/** A name no other test uses, for queues, exchanges, topics, streams and groups. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 13)}`
}
