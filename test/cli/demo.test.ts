import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { builtProgram } from '../built.ts'
import { runCommand, temporaryFolder } from './command.ts'

interface Shown {
  readonly expected: { readonly how: string; readonly code?: string; readonly sender?: string }
  readonly actual: { readonly how: string; readonly code?: string; readonly sender?: string }
}

describe('demo', () => {
  beforeAll(() => builtProgram())

  it('shows a message handled, and one for each way to attack it', async () => {
    await using place = await temporaryFolder()
    const { exitCode, stdout, stderr } = await runCommand(['demo', '--json'], { cwd: place.path })
    const endings = (JSON.parse(stdout) as Shown[]).map(({ actual: { how, code, sender } }) => [how, code ?? sender])
    expect(endings).toEqual([
      ['handled', 'checkout'],
      ['dead-lettered', 'token-missing'],
      ['dead-lettered', 'key-unknown'],
      ['dead-lettered', 'body-mismatch'],
      ['skipped', 'duplicate'],
      ['dead-lettered', 'destination-mismatch'],
      ['dead-lettered', 'queue-not-authorized'],
      ['dead-lettered', 'message-expired'],
    ])
    expect([exitCode, stderr]).toEqual([0, ''])
  })

  it('says so, and fails, when a message ends otherwise than it should', async () => {
    await using place = await temporaryFolder()
    const memory = pathToFileURL(join(await builtProgram(), 'adapters', 'memory', 'index.js')).href
    const losesTokens = join(place.path, 'loses-tokens.mjs')
    await writeFile(
      losesTokens,
      `import { MemoryClient } from '${memory}'
      const { publish } = MemoryClient.prototype
      MemoryClient.prototype.publish = function (queue, payload, { headers: { queueauth, ...headers } }) {
        return publish.call(this, queue, payload, { headers })
      }`,
    )
    const nodeOptions = ['--import', pathToFileURL(losesTokens).href]
    const { exitCode, stdout } = await runCommand(['demo', '--json'], { cwd: place.path, nodeOptions })
    const [order] = JSON.parse(stdout) as Shown[]
    expect(order).toMatchObject({
      expected: { how: 'handled' },
      actual: { how: 'dead-lettered', code: 'token-missing' },
    })
    expect(exitCode).toBe(1)
    const report = await runCommand(['demo'], { cwd: place.path, nodeOptions })
    expect(report).toMatchObject({ exitCode: 1, stdout: expect.stringContaining('UNEXPECTED') })
  })

  it('writes no colours into a pipe, and does not mind when nobody reads it', async () => {
    await using place = await temporaryFolder()
    const piped = await runCommand(['demo'], { cwd: place.path, env: { FORCE_COLOR: '1', TERM: 'xterm-256color' } })
    expect(piped.stdout).not.toContain('\u001b')
    const unread = await runCommand(['demo'], { cwd: place.path, closedPipe: true })
    expect([unread.exitCode, unread.stderr]).toEqual([0, ''])
  })

  it.each([
    ['a broker that is not there', { AMQP_URL: 'amqp://someone:s3cret@127.0.0.1:1/x' }, 1],
    ['an address that is no URL', { AMQP_URL: 's3cret' }, 2],
    ['an address of another kind', { AMQP_URL: 'redis://someone:s3cret@127.0.0.1' }, 2],
    ['no address', {}, 2],
  ])('tells what to do about %s, and nothing of a password', async (_, env, expected) => {
    const { exitCode, stdout, stderr } = await runCommand(['demo', 'rabbitmq'], { cwd: process.cwd(), env })
    expect([exitCode, stdout]).toEqual([expected, ''])
    expect(stderr).toMatch(/^queue-key-auth: [^\n]+\nqueue-key-auth: hint: [^\n]+\n$/)
    expect(stderr).not.toContain('s3cret')
  })

  it('asks for amqplib where it is not installed', async () => {
    await using place = await temporaryFolder()
    const env = { AMQP_URL: 'amqp://127.0.0.1:1' }
    const { exitCode, stderr } = await runCommand(['demo', 'rabbitmq'], { cwd: place.path, env })
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('npm install amqplib')])
  })
})
