import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JWK } from 'jose'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import type { RemoteJwksOptions } from '../../../src/authorized-keys/remote-jwks.ts'
import type { SetupError } from '../../../src/errors.ts'
import { publicJwk } from '../../../src/keys/public-key.ts'
import { type TestKey, testKey } from './keys.ts'

const first = testKey()
const second = testKey('ES256')
const rsa = testKey('PS256')
const jwkOf = (key: TestKey, more: object): JWK => ({ ...publicJwk(key.publicKey), ...more }) as JWK
const policy = { 'orders.*': ['checkout'] }

describe('keys from a JWK Set', () => {
  it('belong to the service that the JWK names, else to its kid; one service may have several', () => {
    const keys = [
      jwkOf(first, { service: 'checkout', kid: 'erp' }),
      jwkOf(second, { kid: 'checkout', use: 'sig', key_ops: ['verify'] }),
      jwkOf(rsa, { kid: 'erp', alg: 'RS256' }),
    ]
    const authorized = AuthorizedKeys.fromJwks({ keys }, { ...policy, q: ['erp'] })
    const lines = [first, second, rsa].map((key) =>
      authorized.snapshot?.keys
        .get(key.publicKey.keyId)
        ?.lines.map((line) => [line.services[0], line.queues.patterns[0], line.algorithm]),
    )
    expect(lines).toEqual([
      [['checkout', 'orders.*', 'Ed25519']],
      [['checkout', 'orders.*', 'ES256']],
      [['erp', 'q', 'RS256']],
    ])
    expect(authorized.refresh).toBeUndefined()
  })

  it('belong to the service that serviceOf names', () => {
    const keys = [jwkOf(first, { kid: 'x1', owner: 'checkout' }), jwkOf(second, { kid: 'checkout' })]
    const serviceOf = (jwk: JWK) => (jwk as { owner?: string }).owner
    const authorized = AuthorizedKeys.fromJwks({ keys }, policy, { serviceOf })
    expect([...(authorized.snapshot?.keys.keys() ?? [])]).toEqual([first.publicKey.keyId])
  })

  it('are passed over when they are for something else, or of nobody the policy names', () => {
    const keys = [
      jwkOf(second, { kid: 'checkout', use: 'enc' }),
      jwkOf(second, { kid: 'checkout', key_ops: ['encrypt'] }),
      { kty: 'OKP', crv: 'X25519', x: 'AA', kid: 'checkout', use: 'enc' },
      { kty: 'future', kid: 'someone' },
      jwkOf(rsa, {}),
      jwkOf(first, { kid: 'checkout' }),
    ]
    const authorized = AuthorizedKeys.fromJwks({ keys }, policy)
    expect([...(authorized.snapshot?.keys.keys() ?? [])]).toEqual([first.publicKey.keyId])
  })

  it.each([
    ['option-invalid', 'a service without a key', [jwkOf(first, { kid: 'erp' })]],
    [
      'option-invalid',
      'a service with nothing but a key for encryption',
      [jwkOf(first, { kid: 'checkout', use: 'enc' })],
    ],
    ['key-private-in-public-place', 'a private key', [jwkOf(first, { kid: 'checkout', d: 'AA' })]],
    [
      'key-private-in-public-place',
      'a private key of somebody else',
      [jwkOf(first, { kid: 'checkout' }), { kty: 'EC', d: 'AA' }],
    ],
    [
      'key-private-in-public-place',
      'a symmetric key',
      [jwkOf(first, { kid: 'checkout' }), { kty: 'oct', k: 'AA', use: 'enc' }],
    ],
    ['key-type-unsupported', 'a type that is not supported', [{ kty: 'OKP', crv: 'Ed448', x: 'AA', kid: 'checkout' }]],
    ['key-type-unsupported', 'an algorithm that is not supported', [jwkOf(rsa, { kid: 'checkout', alg: 'RS512' })]],
    ['key-malformed', 'what is no JWK', ['x']],
    ['key-malformed', 'what is no array', {}],
  ])('are refused with %s for %s', (code, _, keys) => {
    expect(() => AuthorizedKeys.fromJwks({ keys } as never, policy)).toThrow(expect.objectContaining({ code }))
  })

  it('are refused when the set is nothing at all', () => {
    expect(() => AuthorizedKeys.fromJwks(null as never, policy)).toThrow(
      expect.objectContaining({ code: 'key-malformed' }),
    )
  })
})

describe('keys from a JWKS URL', () => {
  let server: Server | undefined
  let opened: AuthorizedKeys | undefined
  /** what the server answers, and how often it was asked */
  const remote = { status: 200, body: '', requests: 0 }

  async function start(keys: readonly JWK[]): Promise<string> {
    Object.assign(remote, { status: 200, body: JSON.stringify({ keys }), requests: 0 })
    const created = createServer((_, response) => {
      remote.requests++
      response.writeHead(remote.status, { location: '/elsewhere' }).end(remote.body)
    })
    server = created
    await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(created.address() as AddressInfo).port}/keys.json?tenant=1`
  }

  async function open(url: string | URL, options: RemoteJwksOptions = {}): Promise<AuthorizedKeys> {
    opened = await AuthorizedKeys.fromJwks(url, policy, options)
    return opened
  }

  afterEach(() => {
    vi.useRealTimers()
    opened?.close()
    server?.close()
    server?.closeAllConnections()
  })

  const ids = (keys: AuthorizedKeys) => [...(keys.snapshot?.keys.keys() ?? [])]
  const before = [jwkOf(first, { kid: 'checkout' })]
  const after = [jwkOf(second, { kid: 'checkout' })]

  it('are there when the promise is fulfilled, and looked for again on refresh()', async () => {
    const keys = await open(new URL(await start(before)), { cooldownSeconds: 1e-9 })
    expect(keys.can('checkout', 'orders.1')).toBe(true)
    const snapshot = keys.snapshot
    remote.body = JSON.stringify({ keys: [...before, ...after] })
    await Promise.all([keys.refresh?.(), keys.refresh?.(), keys.refresh?.()])
    expect(ids(keys)).toEqual([first.publicKey.keyId, second.publicKey.keyId])
    expect(snapshot?.keys.size).toBe(1)
    expect(remote.requests).toBe(2)
  })

  it('are not looked for again before the cooldown is over, also when the last look failed', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const keys = await open(await start(before), { onError: () => {} })
    const flood = async () => {
      for (let index = 0; index < 100; index++) await keys.refresh?.()
      return remote.requests
    }
    expect(await flood()).toBe(1)
    remote.status = 503
    vi.advanceTimersByTime(5000)
    expect(await flood()).toBe(2)
    vi.advanceTimersByTime(4999)
    expect(await flood()).toBe(2)
    vi.advanceTimersByTime(1)
    expect(await flood()).toBe(3)
  })

  it('are looked for again now and then, until close()', async () => {
    const keys = await open(await start(before), { pollSeconds: 0.01 })
    remote.body = JSON.stringify({ keys: after })
    await expect.poll(() => ids(keys)).toEqual([second.publicKey.keyId])
    keys[Symbol.dispose]()
    remote.body = JSON.stringify({ keys: before })
    await keys.refresh?.()
    expect(ids(keys)).toEqual([second.publicKey.keyId])
  })

  it.each([
    ['key-file-unreadable', 500, '{}'],
    ['key-file-unreadable', 302, '{}'],
    ['key-file-unreadable', 200, first.privatePem],
    ['key-malformed', 200, '{"keys":1}'],
    ['key-private-in-public-place', 200, JSON.stringify({ keys: [...before, { kty: 'OKP', d: 'AA' }] })],
    ['key-type-unsupported', 200, JSON.stringify({ keys: [jwkOf(rsa, { kid: 'checkout', alg: 'none' })] })],
  ])('stay as they are, and the error is told: %s for %i', async (code, status, body) => {
    const errors: SetupError[] = []
    const options = { cooldownSeconds: 1e-9, onError: (error: SetupError) => errors.push(error) }
    const url = await start(before)
    const keys = await open(url, options)
    Object.assign(remote, { status, body })
    await keys.refresh?.()
    expect(ids(keys)).toEqual([first.publicKey.keyId])
    expect(errors.map((error) => error.code)).toEqual([code])
    expect(JSON.stringify([errors[0]?.message, errors[0]?.cause])).not.toMatch(/tenant|PRIVATE KEY|MC4C/)
    // and with that answer nothing would have started
    await expect(open(url)).rejects.toMatchObject({ code })
  })

  it.each([
    ['8 MiB are read', 8 * 1024 * 1024, undefined],
    ['more are not', 8 * 1024 * 1024 + 1, 'key-file-unreadable'],
  ])('%s', async (_, length, code) => {
    const url = await start(before)
    remote.body += ' '.repeat(length - remote.body.length)
    const outcome = open(url).then(
      (keys) => [ids(keys).length, undefined],
      (error: SetupError) => [1, error.code],
    )
    expect(await outcome).toEqual([1, code])
  })

  it('are not waited for without an end, nor read without one', async () => {
    let sent = 0
    const endless = createServer((_, response) => {
      const chunk = Buffer.alloc(1 << 20, 0x20)
      const send = (): void => {
        do sent++
        while (!response.destroyed && response.write(chunk))
      }
      response.on('drain', send).writeHead(200)
      send()
    })
    server = endless
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(endless.address() as AddressInfo).port}/`
    await expect(open(url)).rejects.toMatchObject({ code: 'key-file-unreadable' })
    expect(sent).toBeLessThan(64)
  })

  it('stop working when they are gone from the set, although the service then has none', async () => {
    const errors: SetupError[] = []
    const keys = await open(await start(before), { cooldownSeconds: 1e-9, onError: (error) => errors.push(error) })
    remote.body = '{"keys":[]}'
    await keys.refresh?.()
    expect(keys.can('checkout', 'orders.1')).toBe(false)
    expect(errors.map((error) => error.code)).toEqual(['option-invalid'])
  })

  it('are stale when no look has worked for 15 minutes', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const keys = await open(await start(before), { onError: () => {} })
    remote.status = 503
    vi.advanceTimersByTime(900_000)
    await keys.refresh?.()
    expect(keys.stale).toBe(false)
    vi.advanceTimersByTime(5000)
    await keys.refresh?.()
    expect([keys.stale, ids(keys).length]).toEqual([true, 1])
    remote.status = 200
    vi.advanceTimersByTime(5000)
    await keys.refresh?.()
    expect(keys.stale).toBe(false)
  })

  it('warn the process once a message when nobody listens', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const keys = await open(await start(before), { cooldownSeconds: 1e-9 })
    const look = async (status: number) => {
      remote.status = status
      await keys.refresh?.()
      return warnings.mock.calls.length
    }
    try {
      expect([await look(503), await look(503), await look(200), await look(503)]).toEqual([1, 1, 1, 2])
    } finally {
      warnings.mockRestore()
    }
  })

  it('stay when serviceOf throws later on', async () => {
    const errors: SetupError[] = []
    const serviceOf = vi.fn(() => 'checkout')
    const keys = await open(await start(before), {
      cooldownSeconds: 1e-9,
      serviceOf,
      onError: (error) => errors.push(error),
    })
    serviceOf.mockImplementation(() => {
      throw new RangeError('mine')
    })
    await keys.refresh?.()
    expect([ids(keys).length, errors.map((error) => error.code)]).toEqual([1, ['option-invalid']])
  })

  it('are refused when serviceOf throws, or a service has no key', async () => {
    const url = await start(before)
    const failing = open(url, {
      serviceOf: () => {
        throw new RangeError('mine')
      },
    })
    await expect(failing).rejects.toThrow(RangeError)
    await expect(AuthorizedKeys.fromJwks(url, { q: ['nobody'] })).rejects.toMatchObject({ code: 'option-invalid' })
  })

  it.each([
    'http://keys.example/jwks.json',
    'http://127.0.0.1.example/jwks.json',
    'https://user:secret@keys.example/jwks.json',
    'file:///etc/keys.json',
    '/keys.json',
    '',
  ])('are not fetched from "%s"', async (url) => {
    await expect(AuthorizedKeys.fromJwks(url, policy)).rejects.toMatchObject({ code: 'option-invalid' })
  })

  it.each([{ pollSeconds: 0 }, { cooldownSeconds: Number.NaN }, { staleAfterSeconds: 86_401 }])(
    'refuse %o',
    async (options) => {
      await expect(AuthorizedKeys.fromJwks('https://127.0.0.1:1/', policy, options)).rejects.toMatchObject({
        code: 'option-invalid',
      })
    },
  )
})
