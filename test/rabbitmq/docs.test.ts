import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ChannelModel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

/** The code of docs/rabbitmq.md as one program: its first block as it is, each other in a scope of its own. */

const url = inject('amqpUrl') as string
const root = join(import.meta.dirname, '..', '..')
const cache = join(root, 'node_modules', '.cache', 'queue-key-auth')
const QUEUES = [
  ...['orders.created', 'orders.work', 'orders.retry', 'orders.again', 'orders.failed', 'orders.log'],
  'pricing.requests',
]

describe.skipIf(url === undefined)('docs/rabbitmq.md', () => {
  const at = bench(url)
  let folder: string
  let blocks: string[]
  let imports: string

  async function write(name: string, parts: readonly (string | undefined)[]): Promise<void> {
    await writeFile(
      join(folder, name),
      parts
        .join('')
        .replaceAll("'queue-key-auth/rabbitmq'", `'${join(root, 'adapters/rabbitmq/index.ts')}'`)
        .replaceAll("'queue-key-auth'", `'${join(root, 'src/index.ts')}'`)
        .replaceAll('amqp://localhost', url),
    )
  }

  beforeAll(async () => {
    const text = await readFile(join(root, 'docs', 'rabbitmq.md'), 'utf8')
    blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block as string)
    await mkdir(cache, { recursive: true })
    folder = await mkdtemp(join(cache, 'docs-'))
    imports = blocks.flatMap((block) => block.match(/^import .*\n/gm) ?? []).join('')
    const [first, ...others] = blocks.map((block) => block.replace(/^import .*\n/gm, ''))
    await write('program.ts', [imports, first, ...others.map((block) => `{\n${block}}\n`), 'export { connection }\n'])
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: join(root, 'tsconfig.json'),
        compilerOptions: { rootDir: '/', rewriteRelativeImportExtensions: false },
        include: ['program.ts'],
      }),
    )
  })

  afterAll(async () => {
    await rm(folder, { recursive: true })
    for (const queue of QUEUES) {
      await at.raw.deleteQueue(queue)
      await at.raw.deleteQueue(`${queue}.dlq`)
    }
    await at.raw.deleteExchange('shop')
  })

  it('compiles', async () => {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch(({ stdout }: { stdout: string }) => {
      throw new Error(stdout)
    })
  })

  it('runs, and prints what it says', async () => {
    const said = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    await at.raw.assertQueue('pricing.requests')
    const { connection } = (await import(join(folder, 'program.ts'))) as { connection: { close(): Promise<void> } }
    await eventually(() => expect(said.mock.calls).toContainEqual(['checkout', '{"id":1}']))
    expect(said.mock.calls).toContainEqual(['body'])
    said.mockRestore()
    await connection.close()
  })

  it.each([
    ['by dead-letter exchange', 'orders.work', 'loop'],
    ['by publishing again', 'orders.again', 'relay'],
  ])('the retry %s ends after three attempts, and the message is kept', async (_how, queue, closed) => {
    const [first, recipe] = [blocks[0], blocks.find((block) => block.includes(`await ${closed}.close()`))] as string[]
    const without = (block = ''): string => block.replace(/^import .*\n/gm, '')
    await write(`${queue}.ts`, [
      imports,
      without(first),
      // It goes on until the test is through, with a shorter wait.
      without(recipe).replace(`await ${closed}.close()\n`, '').replace('messageTtl: 5000', 'messageTtl: 20'),
      `const sending = await wrapProducer(await connect('amqp://localhost'), signer).createConfirmChannel()\n`,
      `sending.sendToQueue('${queue}', Buffer.from('it fails'))\nexport { connection, ${closed} as other, sending }\n`,
    ])
    for (const name of ['orders.work', 'orders.retry', 'orders.failed']) await at.raw.deleteQueue(name)
    const said = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    const program = (await import(join(folder, `${queue}.ts`))) as Record<'connection' | 'other', ChannelModel>
    await eventually(async () => expect(await at.ready('orders.failed')).toBe(1))
    const attempts = said.mock.calls.flat().filter((text) => String(text).startsWith('attempt'))
    said.mockRestore()
    expect(attempts).toEqual(['attempt 1', 'attempt 2', 'attempt 3'])
    expect(await at.ready(queue)).toBe(0)
    expect((await at.take('orders.failed')).content.toString()).toBe('it fails')
    await program.connection.close()
    await program.other.close()
  })

  it('has the function that these tests unpack dead letters with', async () => {
    const source = await readFile(join(import.meta.dirname, 'unpack.ts'), 'utf8')
    const body = source.slice(source.indexOf('  const end'))
    expect(blocks.some((block) => block.includes(body))).toBe(true)
  })
})
