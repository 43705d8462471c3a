import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { limitOf, parseGeneration } from '../../src/authorized-keys/generation.ts'
import { readDirectory } from '../../src/files/read-directory.ts'
import { Signer } from '../../src/index.ts'
import { newDirectory } from './directories.ts'

const LOADS = 3_000
const writers: ChildProcess[] = []
afterAll(() => {
  for (const writer of writers) writer.kill('SIGKILL')
})

/** Each generation has one service, which names it in all of its files. */
const generations = Array.from({ length: 7 }, (_, number) => {
  const signers = [Signer.generate(`service-${number}`), Signer.generate(`service-${number}`)] as const
  return {
    authorized_keys: `${signers[0].authorizedKeysLine(`queue-${number}`)}\n`,
    'more.authorized_keys': `${signers[1].authorizedKeysLine(`queue-${number}`)}\n`,
    revoked_keys: `kid:${signers[0].keyId}\n`,
    queue_policy: `queue-${number} max-age=${number + 1}s\n`,
  }
})

async function startWriter(directory: string, pauseMs: number): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('./writer.mjs', import.meta.url))
  const writer = spawn(process.execPath, [program, directory, String(pauseMs)], { stdio: ['pipe', 'pipe', 'inherit'] })
  writers.push(writer)
  writer.stdin?.end(JSON.stringify(generations))
  await once(writer.stdout as NonNullable<typeof writer.stdout>, 'data')
  return writer
}

describe('a directory that another process swaps every 3 ms', () => {
  it(`${LOADS} loads: every one of a single generation, none an error`, async () => {
    const directory = await newDirectory()
    const writer = await startWriter(directory, 3)
    let swaps = 0
    writer.stdout?.on('data', (text: Buffer) => {
      swaps = Number(text.toString().trim().split('\n').at(-1))
    })
    const seen = new Map<number, number>()
    let mixed = 0
    const faults: string[] = []
    for (let load = 0; load < LOADS; load++) {
      try {
        const {
          allows,
          revocations,
          policies,
          faults: found,
        } = parseGeneration(await readDirectory(directory, limitOf), directory)
        faults.push(...found.map(({ message }) => message))
        const number = Number(allows[0]?.line.services[0]?.slice('service-'.length))
        const whole =
          allows.length === 2 &&
          allows.every(({ line }) => line.services[0] === `service-${number}`) &&
          revocations.has(`kid:${allows[0]?.key.keyId}`) &&
          policies[0]?.overrides.maxAgeSeconds === number + 1
        if (whole) seen.set(number, (seen.get(number) ?? 0) + 1)
        else mixed++
      } catch (error) {
        faults.push(String(error))
      }
    }
    writer.kill('SIGTERM')
    await once(writer, 'exit')
    console.log(`swap race: ${LOADS} loads against ${swaps} swaps: ${mixed} mixed, ${faults.length} errors`)
    expect(faults).toEqual([])
    expect(mixed).toBe(0)
    expect(seen.size).toBe(generations.length)
  })
})
