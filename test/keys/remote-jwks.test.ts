import { chmod, unlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { RemoteJwksOptions } from '../../src/authorized-keys/remote-jwks.ts'
import { AuthorizedKeys, KeyStore, Signer, Verifier } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { openSshPublicKey, publicJwk, publicKeyOf } from '../../src/keys/public-key.ts'
import { MountedDirectory, newDirectory, replaceFile } from './directories.ts'

const privateKey = generatePrivateKey()
const publicKey = publicKeyOf(privateKey)
const signer = Signer.fromKey(privateKey, { service: 'checkout' })
const stranger = Signer.generate('checkout')
const set = { keys: [{ ...publicJwk(publicKey), kty: 'OKP', service: 'checkout' }] }
const policy = { orders: ['checkout'] }
const message = { destination: 'memory:orders', payload: Buffer.from('1') }

const verdictOn = (keys: AuthorizedKeys, by: Signer = signer): string => {
  const result = new Verifier({ keys, replay: 'off' }).check({
    queue: 'orders',
    deliveredBy: [message.destination],
    token: by.sign(message),
    payload: message.payload,
    properties: {},
    headers: {},
  })
  return 'code' in result ? result.code : 'authorized'
}

type Answer = 'good' | '503' | 'garbage' | 'redirect' | 'silence' | 'endless' | 'not a set'

describe('a JWKS URL that does not answer any more', () => {
  let server: Server | undefined
  let answer: Answer = 'good'
  let opened: AuthorizedKeys | undefined

  async function start(): Promise<string> {
    answer = 'good'
    const created = createServer((_, response) => {
      if (answer === 'good') response.end(JSON.stringify(set))
      else if (answer === '503') response.writeHead(503).end()
      else if (answer === 'garbage') response.end('<html>')
      else if (answer === 'redirect') response.writeHead(302, { location: '/keys' }).end()
      else if (answer === 'not a set') response.end('{"keys":{}}')
      else if (answer === 'endless') {
        const send = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 20, 0x20)));
        }
        response.on('drain', send)
        send()
      }
    })
    server = created
    await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(created.address() as AddressInfo).port}/keys`
  }

  async function open(options: RemoteJwksOptions): Promise<AuthorizedKeys> {
    opened = await AuthorizedKeys.fromJwks(await start(), policy, { onError: () => undefined, ...options })
    return opened
  }

  afterEach(() => {
    opened?.close()
    server?.close()
    server?.closeAllConnections()
  })

  it.each<Answer>(['503', 'garbage', 'redirect', 'silence', 'endless', 'not a set'])(
    '%s: its keys are good for a while, then every message is deferred, and it goes on by itself',
    async (fault) => {
      const errors: string[] = []
      const keys = await open({
        pollSeconds: 0.05,
        cooldownSeconds: 0.01,
        staleAfterSeconds: 0.2,
        deferAfterSeconds: 1,
        onError: (error) => errors.push(error.code),
      })
      expect([verdictOn(keys), verdictOn(keys, stranger), keys.health.state]).toEqual([
        'authorized',
        'key-unknown',
        'ok',
      ])
      answer = fault
      await expect.poll(() => keys.stale).toBe(true)
      await expect.poll(() => keys.snapshot).toBe(undefined)
      expect([verdictOn(keys), verdictOn(keys, stranger)]).toEqual(['keys-unavailable', 'keys-unavailable'])
      expect(keys.can('checkout', 'orders')).toBe(false)
      expect(keys.health).toMatchObject({ state: 'stale', keys: [{ keyId: signer.keyId }] })
      expect(keys.health.ageSeconds).toBeGreaterThan(0.9)
      await expect.poll(() => errors).toContain('key-file-unreadable')
      answer = 'good'
      await expect.poll(() => verdictOn(keys)).toBe('authorized')
      expect(verdictOn(keys, stranger)).toBe('key-unknown')
      expect(keys.health).toMatchObject({ state: 'ok', error: undefined })
    },
  )

  it('says what is wrong before it is too late', async () => {
    const keys = await open({ pollSeconds: 0.05 })
    answer = '503'
    await expect.poll(() => keys.health.state).toBe('broken')
    expect(keys.health.error?.code).toBe('key-file-unreadable')
    expect(verdictOn(keys)).toBe('authorized')
  })

  it('has a bound of a day by itself, and takes no bound that is none', async () => {
    const url = await start()
    for (const options of [
      { deferAfterSeconds: 0 },
      { deferAfterSeconds: Number.POSITIVE_INFINITY },
      { deferAfterSeconds: 604_801 },
      { deferAfterSeconds: 899 },
      { revokedKeys: 7 as never },
      { revokedKeysFile: '' },
      { revokedKeysFile: ['x'] as never },
    ]) {
      await expect(AuthorizedKeys.fromJwks(url, policy, options)).rejects.toMatchObject({ code: 'option-invalid' })
    }
  })

  it('a revoked_keys file beside it: followed, and what it ever said stays while it is broken', async () => {
    const directory = await newDirectory()
    const path = join(directory, 'revoked_keys')
    await replaceFile(directory, 'revoked_keys', '# none\n')
    const codes: string[] = []
    const keys = await open({ revokedKeysFile: path, onError: ({ code }) => codes.push(code) })
    expect(verdictOn(keys)).toBe('authorized')
    await replaceFile(directory, 'revoked_keys', `${signer.fingerprint}\n`)
    await expect.poll(() => verdictOn(keys)).toBe('key-revoked')
    expect(keys.health.state).toBe('ok')
    for (const breaks of [
      () => unlink(path),
      () => writeFile(path, ''),
      () => writeFile(path, `${signer.fingerprint}\nnonsense\n`),
      () => chmod(path, 0o666),
    ]) {
      await breaks()
      await expect.poll(() => keys.health.state).toBe('broken')
      expect(verdictOn(keys)).toBe('key-revoked')
      expect(keys.health.error?.file).toBe(path)
      await replaceFile(directory, 'revoked_keys', `${signer.fingerprint}\n`)
      await expect.poll(() => keys.health.state).toBe('ok')
    }
    expect(new Set(codes)).toEqual(new Set(['key-file-unreadable', 'authorized-keys-invalid', 'key-file-permissions']))
    await replaceFile(directory, 'revoked_keys', '# a mistake\n')
    await expect.poll(() => verdictOn(keys)).toBe('authorized')
  })

  it('a revoked_keys file beside it that stays broken has messages deferred, as in a directory', async () => {
    const directory = await newDirectory()
    await replaceFile(directory, 'revoked_keys', '# none\n')
    const keys = await open({
      revokedKeysFile: join(directory, 'revoked_keys'),
      staleAfterSeconds: 0.3,
      pollSeconds: 0.1,
    })
    await unlink(join(directory, 'revoked_keys'))
    await expect.poll(() => verdictOn(keys)).toBe('keys-unavailable')
    expect(keys.health).toMatchObject({ state: 'stale', error: { code: 'key-file-unreadable' } })
    await replaceFile(directory, 'revoked_keys', '# none\n')
    await expect.poll(() => verdictOn(keys)).toBe('authorized')
  })

  it('a revoked_keys file in a Kubernetes volume, and one that is broken at the start', async () => {
    const mounted = await MountedDirectory.create({ revoked_keys: '# none\n' })
    const keys = await open({ revokedKeysFile: join(mounted.path, 'revoked_keys') })
    await mounted.swap({ revoked_keys: `kid:${signer.keyId}\n` })
    await expect.poll(() => verdictOn(keys)).toBe('key-revoked')
    for (const [text, code] of [
      [undefined, 'key-file-unreadable'],
      ['nonsense\n', 'authorized-keys-invalid'],
    ] as const) {
      const directory = await newDirectory()
      if (text !== undefined) await replaceFile(directory, 'revoked_keys', text)
      const opening = AuthorizedKeys.fromJwks(await start(), policy, {
        revokedKeysFile: join(directory, 'revoked_keys'),
      })
      await expect(opening).rejects.toMatchObject({ code })
    }
  })

  it.each([
    ['a text', `# lost\n${signer.fingerprint} laptop\n`],
    ['a list', ['SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', `kid:${signer.keyId}`]],
    ['a public key line', openSshPublicKey(publicKey)],
  ])('revoked keys beside it, a set and a key store, as %s', async (_, revokedKeys) => {
    expect(verdictOn(await open({ revokedKeys }))).toBe('key-revoked')
    expect(verdictOn(AuthorizedKeys.fromJwks(set, policy, { revokedKeys }))).toBe('key-revoked')
    const store = new KeyStore()
    await store.add('checkout', openSshPublicKey(publicKey))
    expect(verdictOn(AuthorizedKeys.fromKeyStore(store, policy, { revokedKeys }))).toBe('key-revoked')
    expect(verdictOn(AuthorizedKeys.fromKeyStore(store, policy))).toBe('authorized')
    const bad = { revokedKeys: ['nonsense'] }
    expect(() => AuthorizedKeys.fromKeyStore(store, policy, bad)).toThrow(
      expect.objectContaining({ code: 'authorized-keys-invalid' }),
    )
    expect(() => AuthorizedKeys.fromJwks(set, policy, { revokedKeysFile: '/x' } as never)).toThrow(
      expect.objectContaining({ code: 'option-invalid' }),
    )
  })
})
