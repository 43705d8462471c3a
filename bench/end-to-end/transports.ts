import { kafka } from './kafka.ts'
import { rabbitmq } from './rabbitmq.ts'
import { redis } from './redis.ts'
import type { Transport } from './transport.ts'

export const TRANSPORTS = { rabbitmq, kafka, redis } satisfies Record<string, Transport>
export type TransportName = keyof typeof TRANSPORTS
