import { mkdir, rename, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys, Signer, Verifier } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { codeOf } from '../unit/keys/helpers.ts'
import {
  type Files,
  follow,
  heard,
  MountedDirectory,
  newDirectory,
  plainDirectory,
  replaceFile,
} from './directories.ts'

const first = Signer.generate('checkout')
const second = Signer.generate('billing')
const third = Signer.generate('etl')
const line = (signer: Signer): string => `${signer.authorizedKeysLine('orders')}\n`
const message = { destination: 'memory:orders', payload: Buffer.from('1') }

const verifierOf = (keys: AuthorizedKeys): Verifier => new Verifier({ keys, replay: 'off' })
const verdictOn = (verifier: Verifier, signer: Signer): string => {
  const result = verifier.check({
    queue: 'orders',
    deliveredBy: [message.destination],
    token: signer.sign(message),
    payload: message.payload,
    properties: {},
    headers: {},
  })
  if (!('outcome' in result)) return 'authorized'
  return result.outcome === 'unsigned' ? 'unsigned' : result.code
}
const privatePem = generatePrivateKey().export({ type: 'pkcs8', format: 'pem' }).toString()

describe('a directory of keys, at the start', () => {
  it('reads authorized_keys with its parts, revoked_keys and queue_policy', async () => {
    const directory = await plainDirectory({
      authorized_keys: line(first),
      'billing.authorized_keys': line(second),
      'etl.authorized_keys': line(third),
      revoked_keys: `${third.fingerprint}\n`,
      queue_policy: 'orders max-age=1h\n',
      README: 'nothing of interest',
    })
    await mkdir(join(directory, 'archive'))
    const keys = await follow(directory)
    const verifier = verifierOf(keys)
    expect([first, second, third].map((signer) => verdictOn(verifier, signer))).toEqual([
      'authorized',
      'authorized',
      'key-revoked',
    ])
    expect(verifier.policyOf('orders').maxAgeSeconds).toBe(3_600)
    expect(keys.health).toMatchObject({ state: 'ok', error: undefined })
  })

  it.each<[string, Files, string]>([
    ['no authorized_keys', { revoked_keys: '' }, 'key-file-unreadable'],
    ['an authorized_keys that authorizes nobody', { authorized_keys: '# later\n' }, 'authorized-keys-invalid'],
    ['a bad line', { authorized_keys: 'checkout ssh-ed25519 AAAA\n' }, 'authorized-keys-invalid'],
    ['a bad line in a part', { authorized_keys: line(first), 'b.authorized_keys': 'x' }, 'authorized-keys-invalid'],
    ['a bad revocation', { authorized_keys: line(first), revoked_keys: 'checkout\n' }, 'authorized-keys-invalid'],
    ['a bad policy', { authorized_keys: line(first), queue_policy: 'orders rollout=off' }, 'authorized-keys-invalid'],
    ['a file under a wrong name', { authorized_keys: line(first), 'revoked-keys.txt': '' }, 'authorized-keys-invalid'],
    ['a part of revoked_keys', { authorized_keys: line(first), 'b.revoked_keys': '' }, 'authorized-keys-invalid'],
    ['a part of queue_policy', { authorized_keys: line(first), 'b.queue_policy': '' }, 'authorized-keys-invalid'],
    ['a part under a wrong name', { authorized_keys: line(first), 'b.authorized-keys': '' }, 'authorized-keys-invalid'],
    [
      'a private key in a file',
      { authorized_keys: line(first), 'checkout.key': privatePem },
      'key-private-in-public-place',
    ],
    ['a private key in authorized_keys', { authorized_keys: line(first) + privatePem }, 'key-private-in-public-place'],
  ])('refuses %s', async (_, files, code) => {
    const directory = await plainDirectory(files)
    const error = await AuthorizedKeys.fromDirectory(directory).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code, position: { file: expect.stringContaining(directory) } })
    expect((error as Error).message).not.toMatch(/PRIVATE KEY-----|MC4CAQ/)
  })

  it('refuses a directory of parts, which is not read', async () => {
    const directory = await plainDirectory({ authorized_keys: line(first) })
    await mkdir(join(directory, 'revoked_keys.d'))
    expect(await AuthorizedKeys.fromDirectory(directory).catch(codeOfError)).toBe('authorized-keys-invalid')
  })

  it('passes over what only reminds of its files', async () => {
    const others = {
      'revoked_keys.bak': `${first.fingerprint}\n`,
      'authorized_keys.2025': 'x',
      'notes.on.revoked': 'x',
    }
    const keys = await follow(await plainDirectory({ authorized_keys: line(first), ...others }))
    expect(verdictOn(verifierOf(keys), first)).toBe('authorized')
  })

  it('refuses a directory that is none, and options that are none', async () => {
    const directory = await plainDirectory({ authorized_keys: line(first) })
    const refused = (path: string, options = {}): Promise<unknown> =>
      AuthorizedKeys.fromDirectory(path, options).catch(codeOfError)
    expect(await refused(join(directory, 'nowhere'))).toBe('key-file-unreadable')
    expect(await refused(join(directory, 'authorized_keys'))).toBe('key-file-unreadable')
    expect(await refused(directory, { pollSeconds: 0 })).toBe('option-invalid')
    expect(await refused(directory, { staleAfterSeconds: 30 })).toBe('option-invalid')
    expect(codeOf(() => new Verifier({ keys: undefined as never }))).toBe('option-invalid')
  })
})

function codeOfError(error: { readonly code?: string }): string | undefined {
  return error.code
}

describe('a directory of keys that changes', () => {
  it('is read again: files that are replaced, written in place, added and deleted', async () => {
    const events = heard()
    const directory = await plainDirectory({ authorized_keys: line(first) })
    const keys = await follow(directory)
    expect(keys.can('billing', 'orders')).toBe(false)
    await replaceFile(directory, 'authorized_keys', line(first) + line(second))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(true)
    await writeFile(join(directory, 'authorized_keys'), line(first))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(false)
    await replaceFile(directory, 'etl.authorized_keys', line(third))
    await expect.poll(() => keys.can('etl', 'orders')).toBe(true)
    await unlink(join(directory, 'etl.authorized_keys'))
    await expect.poll(() => keys.can('etl', 'orders')).toBe(false)
    // A file that is written in place is half written for a moment.
    expect(events.map(({ state }) => state).filter((state) => state !== 'broken')).toEqual(Array(5).fill('ok'))
  })

  it('is found again when it was replaced as a whole, itself or the link that leads to it', async () => {
    const home = await newDirectory()
    const make = async (name: string, text: string): Promise<string> => {
      await mkdir(join(home, name))
      await writeFile(join(home, name, 'authorized_keys'), text)
      return join(home, name)
    }
    const { symlink } = await import('node:fs/promises')
    await make('one', line(first))
    await make('two', line(second))
    await symlink('one', join(home, 'current'))
    heard()
    const keys = await follow(join(home, 'current'))
    await symlink('two', join(home, 'next'))
    await rename(join(home, 'next'), join(home, 'current'))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(true)
    await rm(join(home, 'two'), { recursive: true })
    await expect.poll(() => keys.health.state).toBe('broken')
    expect(keys.can('billing', 'orders')).toBe(true)
    await make('two', line(third))
    await expect.poll(() => keys.can('etl', 'orders')).toBe(true)
    expect(keys.health.state).toBe('ok')
    await writeFile(join(home, 'two', 'authorized_keys'), line(first))
    await expect.poll(() => keys.can('checkout', 'orders')).toBe(true)
  })

  it('an unknown key has it read at once, and not again for a while', async () => {
    const mounted = await MountedDirectory.create({ authorized_keys: line(first) })
    const keys = await follow(mounted.path, { cooldownSeconds: 1000 })
    await mounted.swap({ authorized_keys: line(first) + line(second) })
    await Promise.all([keys.refresh?.(), keys.refresh?.()])
    expect(keys.can('billing', 'orders')).toBe(true)
  })

  it('keeps what it knows of a key, and the very key, over generations', async () => {
    const directory = await plainDirectory({ authorized_keys: line(first) })
    const keys = await follow(directory)
    const verifier = verifierOf(keys)
    expect(keys.health.keys).toEqual([
      {
        keyId: first.keyId,
        fingerprint: first.fingerprint,
        services: ['checkout'],
        revoked: false,
        lastUsedAt: undefined,
      },
    ])
    const before = Date.now()
    verdictOn(verifier, first)
    const { keyObject } = keys.snapshot?.keys.get(first.keyId) ?? {}
    await replaceFile(directory, 'authorized_keys', line(second) + line(first))
    await expect.poll(() => keys.can('billing', 'orders')).toBe(true)
    const status = keys.health.keys.find(({ keyId }) => keyId === first.keyId)
    expect(status?.lastUsedAt?.getTime()).toBeGreaterThanOrEqual(before)
    expect(keys.snapshot?.keys.get(first.keyId)?.keyObject).toBe(keyObject)
  })

  it('tells which lines are about to end', async () => {
    const day = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
    const ending = (signer: Signer, days: number): string =>
      line(signer).replace('queues="orders"', `queues="orders",valid-before="${day(days)}"`)
    const directory = await plainDirectory({
      authorized_keys: ending(first, 30) + ending(second, 10) + ending(third, -1) + line(Signer.generate('other')),
    })
    const listed = async (expiryNoticeDays?: number): Promise<(number | undefined)[]> => {
      const keys = await follow(directory, expiryNoticeDays === undefined ? {} : { expiryNoticeDays })
      return keys.health.expiring.map((entry) => entry.line)
    }
    expect(await listed()).toEqual([3, 2])
    expect(await listed(31)).toEqual([3, 2, 1])
  })
})

describe('a directory of keys that is broken after a good start', () => {
  const good: Files = {
    authorized_keys: line(first) + line(second),
    revoked_keys: `# compromised\n${third.fingerprint} lost laptop\n`,
    queue_policy: 'orders rollout=enforce\n',
  }
  const revokesSecond = `${third.fingerprint}\n${second.fingerprint}\n`
  /** what happens to the directory, and whether the new revocation of the second key can be read in it */
  const kinds: [string, (directory: string) => Promise<unknown>, boolean][] = [
    [
      'a half-written authorized_keys',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await writeFile(join(directory, 'authorized_keys'), (good.authorized_keys as string).slice(0, -40))
      },
      true,
    ],
    [
      'a missing authorized_keys',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await unlink(join(directory, 'authorized_keys'))
      },
      true,
    ],
    [
      'an empty authorized_keys',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await truncate(join(directory, 'authorized_keys'))
      },
      true,
    ],
    [
      'a revocation in a file of its own',
      (directory) => replaceFile(directory, 'emergency.revoked_keys', `${second.fingerprint}\n`),
      true,
    ],
    // Tests may run as root, whom no mode keeps out: a directory in the file's place cannot be read by anybody.
    [
      'an unreadable authorized_keys',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await unlink(join(directory, 'authorized_keys'))
        await mkdir(join(directory, 'authorized_keys'))
      },
      true,
    ],
    [
      'a bad line in authorized_keys',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await replaceFile(directory, 'authorized_keys', `${line(third)}nonsense\n`)
      },
      true,
    ],
    [
      'a private key in authorized_keys',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await replaceFile(directory, 'authorized_keys', line(third) + privatePem)
      },
      true,
    ],
    [
      'a private key beside it',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await replaceFile(directory, 'third.pem', privatePem)
      },
      true,
    ],
    [
      'a bad line in revoked_keys',
      (directory) => replaceFile(directory, 'revoked_keys', `nonsense\n${second.fingerprint}\n`),
      true,
    ],
    [
      'a bad queue_policy',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await replaceFile(directory, 'queue_policy', 'orders rollout=observ\n')
      },
      true,
    ],
    [
      'a missing queue_policy',
      async (directory) => {
        await replaceFile(directory, 'revoked_keys', revokesSecond)
        await unlink(join(directory, 'queue_policy'))
      },
      true,
    ],
    ['a missing revoked_keys', (directory) => unlink(join(directory, 'revoked_keys')), false],
    ['an empty revoked_keys', (directory) => truncate(join(directory, 'revoked_keys')), false],
    ['a revoked_keys cut within a line', (directory) => truncate(join(directory, 'revoked_keys'), 40), false],
    ['a revoked_keys cut within a comment', (directory) => truncate(join(directory, 'revoked_keys'), 8), false],
    [
      'an unreadable revoked_keys',
      async (directory) => {
        await unlink(join(directory, 'revoked_keys'))
        await mkdir(join(directory, 'revoked_keys'))
      },
      false,
    ],
    ['no directory at all', (directory) => rename(directory, `${directory}.gone`), false],
  ]

  it.concurrent.for(kinds)(
    '%s: last good allows, every revocation; then everything is deferred; mended, it goes on',
    async ([, breaks, revokesMore], { expect, onTestFinished }) => {
      const events = heard(onTestFinished)
      const directory = await plainDirectory({ ...good, 'etl.authorized_keys': line(third) }, onTestFinished)
      // One is broken for as long as it takes to look, the other does not wait for that.
      const [keys, impatient] = await Promise.all(
        [86_400, 2].map((staleAfterSeconds) =>
          follow(directory, { pollSeconds: 0.5, staleAfterSeconds }, onTestFinished),
        ),
      )
      if (keys === undefined || impatient === undefined) throw new Error('there are two')
      const verdicts = (of: AuthorizedKeys): string[] => {
        const verifier = verifierOf(of)
        return [first, second, third].map((signer) => verdictOn(verifier, signer))
      }
      expect(verdicts(keys)).toEqual(['authorized', 'authorized', 'key-revoked'])

      await breaks(directory)
      await expect.poll(() => keys.health.state).toBe('broken')
      expect(verdicts(keys)).toEqual(['authorized', revokesMore ? 'key-revoked' : 'authorized', 'key-revoked'])
      expect(keys.health.error?.file).toContain(directory)
      expect(await verifierOf(keys).probe()).toBe(true)

      await expect.poll(() => impatient.health.state).toBe('stale')
      expect(verdicts(impatient)).toEqual(['keys-unavailable', 'keys-unavailable', 'keys-unavailable'])
      expect(await verifierOf(impatient).probe()).toBe(false)

      await rm(directory, { recursive: true, force: true })
      await rm(`${directory}.gone`, { recursive: true, force: true })
      await mkdir(directory)
      for (const [name, text] of Object.entries({ ...good, 'etl.authorized_keys': line(third) })) {
        await replaceFile(directory, name, text)
      }
      for (const mended of [keys, impatient]) {
        await expect.poll(() => mended.health.state).toBe('ok')
        expect(verdicts(mended)).toEqual(['authorized', 'authorized', 'key-revoked'])
      }
      const states = events.filter(({ source }) => source === directory).map(({ state }) => state)
      expect(new Set(states)).toEqual(new Set(['ok', 'broken', 'stale']))
      expect(states.at(-1)).toBe('ok')
    },
  )

  it('a revocation goes away in a wholly valid generation only', async () => {
    heard()
    const directory = await plainDirectory(good)
    await replaceFile(directory, 'etl.authorized_keys', line(third))
    const keys = await follow(directory)
    await replaceFile(directory, 'revoked_keys', `# compromised\n`)
    await expect.poll(() => keys.can('etl', 'orders')).toBe(true)
    expect(keys.health.state).toBe('ok')
  })
})
