import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuthorizedKeys, Signer, Verifier } from '../../src/index.ts'
import { compare, cpuSince, type Effort } from '../measure.ts'
import { check, messagesOf, QUEUE, receivedWith } from '../tokens/messages.ts'

/** What lines cost that a key directory holds, each with a key of its own. */
export interface CostOfLines {
  readonly lines: number
  /** CPU milliseconds to read the directory */
  readonly load: number
  /** CPU milliseconds to read it again after a change */
  readonly reload: number
  /** CPU microseconds of a verification with these lines in force */
  readonly verify: number
}

export async function costsOfLines(counts: readonly number[], effort: Effort): Promise<CostOfLines[]> {
  const signer = Signer.generate('checkout')
  const messages = messagesOf(32, 1024)
  const received = receivedWith(
    messages,
    messages.map((message) => signer.sign(message)),
  )
  const folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-bench-'))
  const directories: LoadedDirectory[] = []
  try {
    for (const count of counts) directories.push(await loadedDirectory(join(folder, String(count)), signer, count))
    const contenders = directories.map(({ lines, keys }) => {
      const verifier = new Verifier({ keys, replay: 'off' })
      const run = (): void => {
        for (const message of received) check(verifier, message)
      }
      return { name: String(lines), operations: received.length, run }
    })
    const medians = await compare(contenders, effort)
    return directories.map(({ keys, ...costs }) => ({ ...costs, verify: medians.get(String(costs.lines)) as number }))
  } finally {
    for (const { keys } of directories) keys.close()
    await rm(folder, { recursive: true })
  }
}

interface LoadedDirectory extends Omit<CostOfLines, 'verify'> {
  readonly keys: AuthorizedKeys
}

async function loadedDirectory(folder: string, signer: Signer, lines: number): Promise<LoadedDirectory> {
  const others = Array.from({ length: lines - 1 }, () => Signer.generate('other').authorizedKeysLine('elsewhere'))
  const text = `${[...others, signer.authorizedKeysLine(QUEUE)].join('\n')}\n`
  await mkdir(folder)
  await writeFile(join(folder, 'authorized_keys'), text)
  const loading = cpuSince()
  const keys = await AuthorizedKeys.fromDirectory(folder)
  const load = loading() / 1000
  await writeFile(join(folder, 'authorized_keys'), `# changed\n${text}`)
  const reloading = cpuSince()
  await keys.refresh?.()
  return { lines, keys, load, reload: reloading() / 1000 }
}
