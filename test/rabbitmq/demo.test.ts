import { connect } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runCommand } from '../cli/command.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: the demo', () => {
  beforeAll(() => builtProgram())

  it('ends every message as on the in-memory broker, and cleans up', async () => {
    const env = { AMQP_URL: url as string }
    const shown = await runCommand(['demo', 'rabbitmq', '--json'], { cwd: process.cwd(), env })
    expect([shown.exitCode, shown.stderr]).toEqual([0, ''])
    const results = JSON.parse(shown.stdout) as { expected: object; actual: object }[]
    expect(results).toHaveLength(8)
    for (const { expected, actual } of results) expect(actual).toMatchObject(expected)

    const { exitCode, stdout } = await runCommand(['demo', 'rabbitmq'], { cwd: process.cwd(), env })
    expect(exitCode).toBe(0)
    const [orders = ''] = /queue-key-auth-demo\.[0-9a-f]+\.orders/.exec(stdout) ?? []
    expect(orders).not.toBe('')
    for (const queue of [orders, `${orders}.dlq`, orders.replace(/orders$/, 'invoices')]) {
      const connection = await connect(url as string)
      const channel = await connection.createChannel()
      channel.on('error', () => undefined)
      await expect(channel.checkQueue(queue)).rejects.toMatchObject({ code: 404 })
      await connection.close()
    }
  })

  it('tells that the broker refuses the user, and nothing of the password', async () => {
    const wrong = new URL(url as string)
    wrong.username = 'nobody'
    wrong.password = 's3cret'
    const run = await runCommand(['demo', 'rabbitmq'], { cwd: process.cwd(), env: { AMQP_URL: wrong.href } })
    expect([run.exitCode, run.stdout]).toEqual([1, ''])
    expect(run.stderr).toContain('403 (ACCESS-REFUSED)')
    expect(run.stderr).not.toContain('s3cret')
  })
})
