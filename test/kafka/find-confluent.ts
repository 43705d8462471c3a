import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Kafka } from 'kafkajs'

/** What is used of @confluentinc/kafka-javascript. Its own types are not here where it is not installed. */
export interface ConfluentClient {
  readonly Kafka: new (config: object) => Kafka
  readonly logLevel: { readonly NOTHING: number }
}

export const HOW_TO_GET_CONFLUENT =
  'the Confluent client is not installed; npm run test:confluent compiles it and runs these'

/** Where the client is installed: beside this project, or in the folder named by CONFLUENT_CLIENT. */
export function pathOfConfluent(): string | undefined {
  const folder = process.env.CONFLUENT_CLIENT
  try {
    return createRequire(folder ? join(folder, 'package.json') : import.meta.url).resolve(
      '@confluentinc/kafka-javascript',
    )
  } catch (error) {
    // A folder that was named and has no client is a mistake.
    if (folder || (error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    return undefined
  }
}

export function findConfluent(): ConfluentClient | undefined {
  const path = pathOfConfluent()
  return path === undefined ? undefined : (createRequire(path)(path) as { KafkaJS: ConfluentClient }).KafkaJS
}
