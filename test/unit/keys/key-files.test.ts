import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SetupError } from '../../../src/errors.ts'
import { readPrivateKeyFile, readPublicKeyFile } from '../../../src/keys/key-files.ts'
import { openSshPublicKey, publicKeyOf } from '../../../src/keys/public-key.ts'
import { privateKeyFor } from './helpers.ts'

const key = privateKeyFor('Ed25519')
const pem = String(key.export({ type: 'pkcs8', format: 'pem' }))
const isRoot = process.getuid?.() === 0
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'key-files-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string | Uint8Array, mode: number): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

async function errorOf(promise: Promise<unknown>): Promise<SetupError | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    if (error instanceof SetupError) return error
    throw error
  }
}

/** The codes of the process warnings that come up meanwhile. */
async function warningsOf(call: () => Promise<unknown>): Promise<(string | undefined)[]> {
  const codes: (string | undefined)[] = []
  const listener = (warning: Error & { code?: string }): number => codes.push(warning.code)
  process.on('warning', listener)
  await call()
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listener)
  return codes
}

describe.skipIf(process.getuid === undefined)('readPrivateKeyFile', () => {
  it.each(['600', '400', '700'])('reads a file of its own with mode %s', async (mode) => {
    expect((await readPrivateKeyFile(write('a.key', pem, Number.parseInt(mode, 8)))).equals(key)).toBe(true)
  })

  it.each(['644', '640', '604', '660', '601', '620'])('refuses a file of its own with mode %s', async (mode) => {
    expect((await errorOf(readPrivateKeyFile(write('a.key', pem, Number.parseInt(mode, 8)))))?.code).toBe(
      'key-file-permissions',
    )
  })

  it('says the command that mends it, and the command does', async () => {
    const path = write("it's a key", pem, 0o644)
    const error = await errorOf(readPrivateKeyFile(path))
    const command = /`(chmod .*?)`/.exec(error?.message ?? '')?.[1]
    execFileSync('sh', ['-c', String(command)])
    expect((await readPrivateKeyFile(path)).equals(key)).toBe(true)
  })

  it('looks at the file, not at the link to it', async () => {
    symlinkSync(write('a.key', pem, 0o600), join(folder, 'link'))
    symlinkSync(write('b.key', pem, 0o644), join(folder, 'open'))
    expect((await readPrivateKeyFile(join(folder, 'link'))).equals(key)).toBe(true)
    expect((await errorOf(readPrivateKeyFile(join(folder, 'open'))))?.code).toBe('key-file-permissions')
  })

  it.runIf(isRoot)('takes the file of another user as it is, and warns when everybody may read it', async () => {
    const path = write('mounted.key', pem, 0o440)
    chownSync(path, 65534, 65534)
    expect(await warningsOf(() => readPrivateKeyFile(path))).toEqual([])
    chmodSync(path, 0o444)
    expect(await warningsOf(() => readPrivateKeyFile(path))).toEqual(['QUEUE_KEY_AUTH_KEY_FILE_OPEN'])
  })

  it('opens an encrypted file', async () => {
    const text = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' })
    const path = write('a.key', text, 0o600)
    expect((await errorOf(readPrivateKeyFile(path)))?.code).toBe('key-encrypted')
    expect((await readPrivateKeyFile(path, { passphrase: 'secret' })).equals(key)).toBe(true)
  })

  it('names the file in every error', async () => {
    mkdirSync(join(folder, 'directory'))
    execFileSync('mkfifo', [join(folder, 'pipe')])
    for (const [path, code] of [
      [join(folder, 'missing'), 'key-file-unreadable'],
      [join(folder, 'directory'), 'key-file-unreadable'],
      [join(folder, 'pipe'), 'key-file-unreadable'],
      [write('huge', Buffer.alloc(70_000, 'a'), 0o600), 'key-file-unreadable'],
      [write('empty', '', 0o600), 'key-malformed'],
      [write('public.pub', openSshPublicKey(publicKeyOf(key)), 0o600), 'key-missing'],
    ] as const) {
      const error = await errorOf(readPrivateKeyFile(path))
      expect(error?.code, path).toBe(code)
      expect(error?.position).toEqual({ file: path })
      expect(error?.message).toContain(path)
    }
  })
})

describe('readPublicKeyFile', () => {
  it('reads a file whatever its mode', async () => {
    const path = write('checkout.pub', `${openSshPublicKey(publicKeyOf(key))} checkout\n`, 0o666)
    expect((await readPublicKeyFile(path)).keyId).toBe(publicKeyOf(key).keyId)
  })

  it('refuses a private key, naming the file', async () => {
    const error = await errorOf(readPublicKeyFile(write('checkout', pem, 0o600)))
    expect(error?.code).toBe('key-private-in-public-place')
    expect(error?.position).toEqual({ file: join(folder, 'checkout') })
    expect((await errorOf(readPublicKeyFile(folder)))?.code).toBe('key-file-unreadable')
  })
})
