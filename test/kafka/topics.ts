import type { Admin, ITopicConfig } from 'kafkajs'
import { expect } from 'vitest'

/**
 * Creates a topic and waits until the broker knows it. kafkajs waits for leaders itself, but fails when a busy Kafka 4 does
 * not know yet what it just made.
 */
export async function createTopic(admin: Admin, config: ITopicConfig): Promise<void> {
  await admin.createTopics({ waitForLeaders: false, topics: [config] })
  const leaders = async (): Promise<boolean> => {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [config.topic] })
      return topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0))
    } catch {
      return false
    }
  }
  await expect.poll(leaders).toBe(true)
}
