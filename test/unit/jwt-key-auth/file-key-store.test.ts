import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FileKeyStore, JwsAdapter, JwtKeyAuth } from '../../../src/jwt-key-auth/index.ts'
import { ed25519, p256, rsa } from './tokens.ts'

const one = ed25519()
const two = p256()
const three = rsa()

let root: string
let count = 0

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'file-key-store-'))
})
afterAll(() => {
  rmSync(root, { recursive: true })
})

function directory(files: Readonly<Record<string, string | Buffer>>): string {
  const path = join(root, `${count++}`)
  mkdirSync(path)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
  return path
}

function privateKeyFile(content: string, mode = 0o600): string {
  const path = join(directory({ 'private.pem': content }), 'private.pem')
  chmodSync(path, mode)
  return path
}

async function names(store: FileKeyStore): Promise<string[]> {
  return [...store.entries()].map(([name]) => name).sort()
}

describe('fill', () => {
  it('takes each file as the key of the service it is named after', async () => {
    const path = directory({
      'checkout.pem': one.publicPem,
      'order.service.pub': two.publicPem,
      billing: three.publicPem,
      'erp.jwk': JSON.stringify(two.publicKey.export({ format: 'jwk' })),
      '__proto__.pem': one.publicPem,
    })
    const store = new FileKeyStore()
    await store.fill(path)
    expect(await names(store)).toEqual(['__proto__', 'billing', 'checkout', 'erp', 'order.service'])
    expect(await store.get('checkout')).toEqual(Buffer.from(one.publicPem))
  })

  it('passes over dotfiles and directories, and follows links', async () => {
    const path = directory({ '.checkout.pem.swp': 'rubbish', '.gitkeep': '', 'checkout.pem': one.publicPem })
    mkdirSync(join(path, 'old'))
    symlinkSync(join(directory({ key: two.publicPem }), 'key'), join(path, 'billing.pem'))
    const store = new FileKeyStore()
    await store.fill(path)
    expect(await names(store)).toEqual(['billing', 'checkout'])
  })

  it('reads a directory mounted by Kubernetes, before and after it was replaced', async () => {
    const path = directory({})
    const generation = (name: string, files: Readonly<Record<string, string>>): void => {
      renameSync(directory(files), join(path, name))
      symlinkSync(name, join(path, '..data_tmp'))
      renameSync(join(path, '..data_tmp'), join(path, '..data'))
    }
    generation('..2026_01', { 'checkout.pem': one.publicPem, 'billing.pem': two.publicPem })
    for (const name of ['checkout.pem', 'billing.pem']) symlinkSync(`..data/${name}`, join(path, name))
    const before = new FileKeyStore()
    await before.fill(path)
    expect(await before.get('checkout')).toEqual(Buffer.from(one.publicPem))
    expect(await names(before)).toEqual(['billing', 'checkout'])
    // The link to a key that is gone dangles until the kubelet gets to it.
    generation('..2026_02', { 'checkout.pem': two.publicPem })
    const after = new FileKeyStore()
    await after.fill(path)
    expect(await names(after)).toEqual(['checkout'])
    expect(await after.get('checkout')).toEqual(Buffer.from(two.publicPem))
  })

  it('names the file that cannot be used, and adds none of them', async () => {
    const bad: readonly (readonly [file: string, content: string | Buffer, code: string])[] = [
      ['erp.pem', one.privatePem, 'key-private-in-public-place'],
      ['erp.key', JSON.stringify(one.privateKey.export({ format: 'jwk' })), 'key-private-in-public-place'],
      ['erp.pem', rsa(1024).publicPem, 'key-too-weak'],
      ['erp.pem', '', 'key-malformed'],
      ['erp.pem', Buffer.from([0xff, 0xfe, 0x00]), 'key-malformed'],
      ['erp.pem', one.publicPem.slice(0, 60), 'key-malformed'],
      ['erp.iso', Buffer.alloc(70_000, one.publicPem), 'key-malformed'],
    ]
    for (const [file, content, code] of bad) {
      const path = directory({ 'checkout.pem': two.publicPem, [file]: content })
      const store = new FileKeyStore()
      await expect(store.fill(path)).rejects.toMatchObject({ code, position: { file: join(path, file) } })
      expect(await names(store)).toEqual([])
    }
  })

  it('waits for no pipe and reads no disk image', async () => {
    const piped = directory({})
    execFileSync('mkfifo', [join(piped, 'erp.pem')])
    const image = directory({ 'erp.pem': '' })
    truncateSync(join(image, 'erp.pem'), 3 * 2 ** 30)
    for (const path of [piped, image]) {
      const position = { file: join(path, 'erp.pem') }
      await expect(new FileKeyStore().fill(path)).rejects.toMatchObject({ code: 'key-malformed', position })
    }
  })

  it('names both files of one service', async () => {
    const path = directory({ 'checkout.pem': one.publicPem, 'checkout.pub': one.publicPem })
    const error: Error = await new FileKeyStore().fill(path).catch((error) => error)
    expect(error).toMatchObject({ code: 'key-duplicate' })
    expect(error.message).toContain(join(path, 'checkout.pem'))
    expect(error.message).toContain(join(path, 'checkout.pub'))
  })

  it('adds a second directory whole or, when a name is taken, not at all', async () => {
    const store = new FileKeyStore()
    await store.fill(directory({ 'checkout.pem': one.publicPem }))
    await store.fill(directory({ 'billing.pem': two.publicPem }))
    const third = directory({ 'aaa.pem': one.publicPem, 'checkout.pem': two.publicPem })
    const position = { file: join(third, 'checkout.pem') }
    await expect(store.fill(third)).rejects.toMatchObject({ code: 'key-duplicate', position })
    expect(await names(store)).toEqual(['billing', 'checkout'])
    expect(await store.get('checkout')).toEqual(Buffer.from(one.publicPem))
  })

  it('says what is wrong with a directory', async () => {
    const absent = join(root, 'absent')
    const file = join(directory({ key: one.publicPem }), 'key')
    const dangling = directory({})
    symlinkSync(join(root, 'nowhere'), join(dangling, 'checkout.pem'))
    for (const [path, code, named] of [
      [absent, 'key-file-unreadable', absent],
      [file, 'key-file-unreadable', file],
      [dangling, 'key-file-unreadable', join(dangling, 'checkout.pem')],
      [directory({ '.hidden': one.publicPem }), 'key-missing', undefined],
    ] as const) {
      const position = { file: named ?? path }
      await expect(new FileKeyStore().fill(path)).rejects.toMatchObject({ code, position })
    }
  })
})

describe('addPrivateKeyFile', () => {
  it('signs with the key in the file', async () => {
    const store = new FileKeyStore()
    await store.fill(directory({ 'checkout.pem': three.publicPem }))
    await store.addPrivateKeyFile(privateKeyFile(three.privatePem))
    const auth = new JwtKeyAuth(new JwsAdapter(), store)
    expect(await auth.verify(await auth.generate('checkout'))).toBe(true)
    expect(await store.getPrivate()).toEqual(Buffer.from(three.privatePem))
    const second = store.addPrivateKeyFile(privateKeyFile(one.privatePem))
    await expect(second).rejects.toMatchObject({ code: 'key-duplicate' })
  })

  it('names the file that cannot be used', async () => {
    const absent = join(root, 'absent.pem')
    const open = privateKeyFile(one.privatePem, 0o644)
    const broken = privateKeyFile('rubbish')
    for (const [file, code] of [
      [absent, 'key-file-unreadable'],
      [broken, 'key-malformed'],
    ] as const) {
      const store = new FileKeyStore()
      await expect(store.addPrivateKeyFile(file)).rejects.toMatchObject({ code, position: { file } })
      await expect(store.getPrivate()).rejects.toMatchObject({ code: 'key-missing' })
    }
    await expect(new FileKeyStore().addPrivateKeyFile(open)).rejects.toMatchObject({ code: 'key-file-permissions' })
  })
})
