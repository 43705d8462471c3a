import { afterAll, beforeAll, describe, inject, it } from 'vitest'
import { type KafkaServer, startKafka } from '../brokers/index.ts'
import { confluentLibrary } from '../kafka/client-libraries.ts'
import { CuttableProxy } from '../kafka/cuttable-proxy.ts'
import { findConfluent, HOW_TO_GET_CONFLUENT } from '../kafka/find-confluent.ts'
import { adapterContract } from './adapter-contract.ts'
import { kafkaFeatures, kafkaHarness } from './kafka-harness.ts'

const client = inject('startableBrokers').includes('kafka') ? findConfluent() : undefined
const proxy = client && (await CuttableProxy.listen())

describe('on a real Kafka, with the Confluent client', () => {
  if (client === undefined || proxy === undefined) {
    it('keeps the contract', ({ skip }) => skip(HOW_TO_GET_CONFLUENT))
    return
  }
  let server: KafkaServer
  beforeAll(async () => {
    server = await startKafka({ advertise: proxy.address })
    proxy.target = server.address
  })
  afterAll(async () => {
    await proxy.close()
    await server.stop()
  })
  const library = confluentLibrary(client, [proxy.address], proxy)
  adapterContract('kafka', kafkaHarness([proxy.address], library), kafkaFeatures)
  adapterContract('kafka, in batches', kafkaHarness([proxy.address], library, true), kafkaFeatures)
})
