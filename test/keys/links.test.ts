import { link, mkdir, rename, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Signer } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { follow, heard, newDirectory, plainDirectory } from './directories.ts'

const first = Signer.generate('checkout')
const second = Signer.generate('billing')
const line = (signer: Signer): string => `${signer.authorizedKeysLine('orders')}\n`

/** The same path leads to other files than before; nothing in the directory itself has changed. */
describe('files that links lead to are seen without waiting for the poll', () => {
  it.each<[string, (directory: string) => Promise<(text: string) => Promise<unknown>>]>([
    [
      'the file in another directory, written in place',
      async (directory) => {
        const elsewhere = await plainDirectory({ keys: line(first) })
        await symlink(join(elsewhere, 'keys'), join(directory, 'authorized_keys'))
        return (text) => writeFile(join(elsewhere, 'keys'), text)
      },
    ],
    [
      'the file in another directory, replaced',
      async (directory) => {
        const elsewhere = await plainDirectory({ keys: line(first) })
        await symlink(join(elsewhere, 'keys'), join(directory, 'authorized_keys'))
        return async (text) => {
          await writeFile(join(elsewhere, 'new'), text)
          await rename(join(elsewhere, 'new'), join(elsewhere, 'keys'))
        }
      },
    ],
    [
      'a chain of links, the one in the middle pointed elsewhere',
      async (directory) => {
        const elsewhere = await plainDirectory({ one: line(first) })
        const middle = await newDirectory()
        await symlink(join(elsewhere, 'one'), join(middle, 'keys'))
        await symlink(join(middle, 'keys'), join(directory, 'authorized_keys'))
        return async (text) => {
          await writeFile(join(elsewhere, 'two'), text)
          await symlink(join(elsewhere, 'two'), join(middle, 'next'))
          await rename(join(middle, 'next'), join(middle, 'keys'))
        }
      },
    ],
    [
      'a directory on the way, replaced as a whole',
      async (directory) => {
        const home = await newDirectory()
        await mkdir(join(home, 'a', 'b'), { recursive: true })
        await writeFile(join(home, 'a', 'b', 'keys'), line(first))
        await symlink(join(home, 'a', 'b', 'keys'), join(directory, 'authorized_keys'))
        let changes = 0
        return async (text) => {
          await mkdir(join(home, 'next', 'b'), { recursive: true })
          await writeFile(join(home, 'next', 'b', 'keys'), text)
          await rename(join(home, 'a'), join(home, `before-${changes++}`))
          await rename(join(home, 'next'), join(home, 'a'))
        }
      },
    ],
    [
      'a second name of the same file, written in place',
      async (directory) => {
        const elsewhere = await plainDirectory({ keys: line(first) })
        await link(join(elsewhere, 'keys'), join(directory, 'authorized_keys'))
        return (text) => writeFile(join(elsewhere, 'keys'), text)
      },
    ],
  ])('%s', async (_, make) => {
    heard()
    const directory = await newDirectory()
    const change = await make(directory)
    // The poll is an hour away.
    const keys = await follow(directory, { pollSeconds: 3_600, staleAfterSeconds: 86_400 })
    await change(line(first) + line(second))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(true)
    await change(line(first))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(false)
  })

  it('a revocation, too', async () => {
    heard()
    const elsewhere = await plainDirectory({ revoked: '# none\n' })
    const directory = await plainDirectory({ authorized_keys: line(first) + line(second) })
    await symlink(join(elsewhere, 'revoked'), join(directory, 'revoked_keys'))
    const keys = await follow(directory, { pollSeconds: 3_600, staleAfterSeconds: 86_400 })
    await writeFile(join(elsewhere, 'revoked'), `${second.fingerprint}\n`)
    await expect.poll(() => keys.can('billing', 'orders')).toBe(false)
    await unlink(join(elsewhere, 'revoked'))
    await expect.poll(() => keys.health.state).toBe('broken')
    expect(keys.can('billing', 'orders')).toBe(false)
  })

  it('the directory itself, replaced together with one above it', async () => {
    heard()
    const home = await newDirectory()
    const make = async (name: string, text: string): Promise<void> => {
      await mkdir(join(home, name, 'b', 'keys'), { recursive: true })
      await writeFile(join(home, name, 'b', 'keys', 'authorized_keys'), text)
    }
    await make('a', line(first))
    const keys = await follow(join(home, 'a', 'b', 'keys'), { pollSeconds: 3_600, staleAfterSeconds: 86_400 })
    await make('next', line(second))
    await rename(join(home, 'a'), join(home, 'before'))
    await rename(join(home, 'next'), join(home, 'a'))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(true)
  })

  it('a key file of a signer that a chain of links leads to', async () => {
    heard()
    const pem = (): string => generatePrivateKey().export({ type: 'pkcs8', format: 'pem' }).toString()
    const elsewhere = await newDirectory()
    const middle = await newDirectory()
    const home = await newDirectory()
    await writeFile(join(elsewhere, 'key'), pem(), { mode: 0o600 })
    await symlink(join(elsewhere, 'key'), join(middle, 'key'))
    await symlink(join(middle, 'key'), join(home, 'key'))
    const signer = await Signer.fromFile(join(home, 'key'), { service: 'checkout', pollSeconds: 3_600 })
    const before = signer.keyId
    await writeFile(join(elsewhere, 'key'), pem())
    await expect.poll(() => signer.keyId).not.toBe(before)
    signer.close()
  })
})
