import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

/** The code of docs/rabbitmq.md as one program: its first block as it is, each other in a scope of its own. */

const url = inject('amqpUrl') as string
const root = join(import.meta.dirname, '..', '..')
const cache = join(root, 'node_modules', '.cache', 'queue-key-auth')
const QUEUES = ['orders.created', 'orders.work', 'orders.retry', 'orders.again', 'pricing.requests', 'orders.log']

describe.skipIf(url === undefined)('docs/rabbitmq.md', () => {
  const at = bench(url)
  let folder: string
  let blocks: string[]

  beforeAll(async () => {
    const text = await readFile(join(root, 'docs', 'rabbitmq.md'), 'utf8')
    blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block as string)
    await mkdir(cache, { recursive: true })
    folder = await mkdtemp(join(cache, 'docs-'))
    const imports = blocks.flatMap((block) => block.match(/^import .*\n/gm) ?? []).join('')
    const [first, ...others] = blocks.map((block) => block.replace(/^import .*\n/gm, ''))
    const program = [imports, first, ...others.map((block) => `{\n${block}}\n`), 'export { connection }\n'].join('')
    await writeFile(
      join(folder, 'program.ts'),
      program
        .replaceAll("'queue-key-auth/rabbitmq'", `'${join(root, 'adapters/rabbitmq/index.ts')}'`)
        .replaceAll("'queue-key-auth'", `'${join(root, 'src/index.ts')}'`)
        .replaceAll('amqp://localhost', url),
    )
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

  it('has the function that these tests unpack dead letters with', async () => {
    const source = await readFile(join(import.meta.dirname, 'unpack.ts'), 'utf8')
    const body = source.slice(source.indexOf('  const end'))
    expect(blocks.some((block) => block.includes(body))).toBe(true)
  })
})
