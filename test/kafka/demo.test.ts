import { Kafka, logLevel } from 'kafkajs'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runCommand } from '../cli/command.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === undefined)('Kafka: the demo', () => {
  beforeAll(() => builtProgram())

  it('ends every message as on the in-memory broker, and cleans up', async () => {
    const env = { KAFKA_BROKERS: brokers?.join() as string }
    const shown = await runCommand(['demo', 'kafka', '--json'], { cwd: process.cwd(), env })
    expect([shown.exitCode, shown.stderr]).toEqual([0, ''])
    const results = JSON.parse(shown.stdout) as { expected: object; actual: object }[]
    expect(results).toHaveLength(8)
    for (const { expected, actual } of results) expect(actual).toMatchObject(expected)
    const admin = new Kafka({ brokers: [...(brokers ?? [])], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    expect((await admin.listTopics()).filter((topic) => topic.startsWith('queue-key-auth-demo.'))).toEqual([])
    await admin.disconnect()
  })

  it('asks for the address', async () => {
    const run = await runCommand(['demo', 'kafka'], { cwd: process.cwd(), env: { KAFKA_BROKERS: '' } })
    expect([run.exitCode, run.stdout]).toEqual([2, ''])
    expect(run.stderr).toContain('KAFKA_BROKERS')
  })
})
