import { beforeAll, describe, expect, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runCommand } from '../cli/command.ts'
import { plain, redisUrl } from './clients.ts'

describe.skipIf(redisUrl === '')('Redis Streams: the demo', () => {
  beforeAll(() => builtProgram())

  it('ends every message as on the in-memory broker, and cleans up', async () => {
    const options = { cwd: process.cwd(), env: { REDIS_URL: redisUrl } }
    const shown = await runCommand(['demo', 'redis', '--json'], options)
    expect([shown.exitCode, shown.stderr]).toEqual([0, ''])
    const results = JSON.parse(shown.stdout) as { expected: object; actual: object }[]
    expect(results).toHaveLength(8)
    for (const { expected, actual } of results) expect(actual).toMatchObject(expected)
    expect(await plain().keys('*queue-key-auth-demo*')).toEqual([])
  })

  it.each([
    ['', 2],
    ['http://localhost', 2],
    ['redis://:s3cret@127.0.0.1:1', 1],
  ])('tells what is wrong with the address %s, and nothing of a password', async (url, exitCode) => {
    const run = await runCommand(['demo', 'redis'], { cwd: process.cwd(), env: { REDIS_URL: url } })
    expect([run.exitCode, run.stdout]).toEqual([exitCode, ''])
    expect(run.stderr).toMatch(/REDIS_URL|ECONNREFUSED/)
    expect(run.stderr).not.toContain('s3cret')
  })
})
