import { chmod, lchown, mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isTrustedOwner, shellQuoted } from '../../src/files/modes.ts'
import { AuthorizedKeys, FileKeyStore, Signer } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { openSshPublicKey, publicKeyOf } from '../../src/keys/public-key.ts'
import { follow, heard, MountedDirectory, newDirectory, plainDirectory } from './directories.ts'

const line = `${Signer.generate('checkout').authorizedKeysLine('orders')}\n`
const files = { authorized_keys: line, 'b.authorized_keys': line, revoked_keys: '# none\n', queue_policy: '# none\n' }

async function codeOf(directory: string, options = {}): Promise<string | undefined> {
  const opened = await AuthorizedKeys.fromDirectory(directory, options).catch((error: { code: string }) => error)
  if (!(opened instanceof AuthorizedKeys)) return opened.code
  opened.close()
  return undefined
}

describe('a key directory that others can write to', () => {
  it.each([
    ['authorized_keys', 0o666],
    ['authorized_keys', 0o664],
    ['b.authorized_keys', 0o620],
    ['revoked_keys', 0o602],
    ['queue_policy', 0o646],
    ['.', 0o777],
    ['.', 0o770],
    ['.', 0o775],
    // Whoever may add files can add a part of authorized_keys, sticky or not.
    ['.', 0o1777],
    ['.', 0o2775],
  ])('is refused: %s with mode %o', async (name, mode) => {
    const directory = await plainDirectory(files)
    await chmod(join(directory, name), mode)
    const error = await AuthorizedKeys.fromDirectory(directory).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'key-file-permissions', position: { file: join(directory, name) } })
    expect((error as Error).message).toContain(`chmod go-w ${join(directory, name)}`)
    expect(await codeOf(directory, { strictModes: false })).toBeUndefined()
  })

  it.each([0o600, 0o640, 0o644, 0o444, 0o440])('is fine with files of mode %o', async (mode) => {
    const directory = await plainDirectory(files)
    for (const name of Object.keys(files)) await chmod(join(directory, name), mode)
    for (const each of [0o700, 0o750, 0o755, 0o555]) {
      await chmod(directory, each)
      expect(await codeOf(directory)).toBeUndefined()
    }
    await chmod(directory, 0o700)
  })

  it('other files may be open', async () => {
    const directory = await plainDirectory({ ...files, README: '' })
    await chmod(join(directory, 'README'), 0o666)
    expect(await codeOf(directory)).toBeUndefined()
  })

  it('counts as broken while it is followed, and is mended by chmod', async () => {
    const events = heard()
    const directory = await plainDirectory(files)
    const keys = await follow(directory)
    await chmod(join(directory, 'authorized_keys'), 0o666)
    await expect.poll(() => keys.health.state).toBe('broken')
    expect(keys.health.error?.code).toBe('key-file-permissions')
    expect(keys.can('checkout', 'orders')).toBe(true)
    await chmod(join(directory, 'authorized_keys'), 0o644)
    await expect.poll(() => keys.health.state).toBe('ok')
    expect(events.map(({ state }) => state)).toEqual(['ok', 'broken', 'ok'])
  })

  it('is refused when a directory above it could be replaced by anybody, and not below /tmp', async () => {
    const above = await newDirectory()
    await mkdir(join(above, 'keys'))
    await writeFile(join(above, 'keys', 'authorized_keys'), line)
    expect(await codeOf(join(above, 'keys'))).toBeUndefined()
    await chmod(above, 0o777)
    expect(await codeOf(join(above, 'keys'))).toBe('key-file-permissions')
    await chmod(above, 0o1777)
    expect(await codeOf(join(above, 'keys'))).toBeUndefined()
    // as a umask of 002 leaves home directories
    await chmod(above, 0o775)
    expect(await codeOf(join(above, 'keys'))).toBeUndefined()
  })

  it('is refused when a link leads to a file, or through a directory, that others can replace', async () => {
    const elsewhere = await plainDirectory({ keys: line })
    const directory = await newDirectory()
    await symlink(join(elsewhere, 'keys'), join(directory, 'authorized_keys'))
    expect(await codeOf(directory)).toBeUndefined()
    await chmod(elsewhere, 0o770)
    expect(await codeOf(directory)).toBe('key-file-permissions')
    await chmod(elsewhere, 0o700)
    await chmod(join(elsewhere, 'keys'), 0o666)
    expect(await codeOf(directory)).toBe('key-file-permissions')
    await chmod(join(elsewhere, 'keys'), 0o644)
    // the directory itself by a link that lies where everybody may write
    const home = await newDirectory()
    await symlink(directory, join(home, 'current'))
    expect(await codeOf(join(home, 'current'))).toBeUndefined()
    await chmod(home, 0o777)
    expect(await codeOf(join(home, 'current'))).toBe('key-file-permissions')
  })

  it('refuses an option that is none', async () => {
    expect(await codeOf(await plainDirectory(files), { strictModes: 'no' })).toBe('option-invalid')
  })
})

describe('a volume as the kubelet mounts it', () => {
  // drwxrwxrwx for a ConfigMap, drwxrwxrwt for a Secret in a tmpfs, with setgid where there is an fsGroup
  it.each([0o777, 0o1777, 0o2777, 0o3777])('a directory of mode %o is fine', async (mode) => {
    const mounted = await MountedDirectory.create(files)
    await chmod(mounted.path, mode)
    const keys = await follow(mounted.path)
    expect(keys.health.state).toBe('ok')
    const generation = join(mounted.path, '..data')
    await chmod(generation, mode === 0o2777 ? 0o2755 : 0o755)
    for (const name of Object.keys(files)) await chmod(join(generation, name), mode === 0o2777 ? 0o440 : 0o644)
    expect(await codeOf(mounted.path)).toBeUndefined()
    const other = Signer.generate('billing')
    await mounted.swap({ ...files, authorized_keys: `${line}${other.authorizedKeysLine('orders')}\n` })
    await expect.poll(() => keys.can('billing', 'orders')).toBe(true)
    expect(keys.health.state).toBe('ok')
  })

  it('is refused when the generation or a file in it is open to others', async () => {
    const mounted = await MountedDirectory.create(files)
    await chmod(mounted.path, 0o777)
    await chmod(join(mounted.path, '..data', 'authorized_keys'), 0o666)
    expect(await codeOf(mounted.path)).toBe('key-file-permissions')
    await chmod(join(mounted.path, '..data', 'authorized_keys'), 0o644)
    await chmod(join(mounted.path, '..data'), 0o777)
    expect(await codeOf(mounted.path)).toBe('key-file-permissions')
    expect(await codeOf(mounted.path, { strictModes: false })).toBeUndefined()
  })

  it('is refused when somebody else has made it so: only root and ourselves are taken for the kubelet', async () => {
    const uid = process.getuid?.() ?? 0
    expect([0, uid, uid + 1].map((each) => isTrustedOwner({ uid: each, mode: 0o755 }))).toEqual([true, true, false])
    if (uid !== 0) return
    for (const name of ['.', '..data']) {
      const mounted = await MountedDirectory.create(files)
      await chmod(mounted.path, 0o777)
      await lchown(join(mounted.path, name), 12345, 12345)
      expect(await codeOf(mounted.path)).toBe('key-file-permissions')
    }
    const mounted = await MountedDirectory.create(files)
    await chmod(mounted.path, 0o777)
    await mkdir(join(mounted.path, '..evil'))
    await writeFile(join(mounted.path, '..evil', 'authorized_keys'), line)
    await lchown(join(mounted.path, '..evil'), 12345, 12345)
    await symlink('..evil', join(mounted.path, '..data_tmp'))
    await rename(join(mounted.path, '..data_tmp'), join(mounted.path, '..data'))
    expect(await codeOf(mounted.path)).toBe('key-file-permissions')
  })
})

describe('a FileKeyStore', () => {
  const key = openSshPublicKey(publicKeyOf(generatePrivateKey()))
  const fill = (directory: string, options = {}): Promise<unknown> =>
    new FileKeyStore().fill(directory, options).catch((error: { code: string }) => error.code)

  it('looks at modes as well', async () => {
    const directory = await plainDirectory({ 'checkout.pub': key })
    expect(await fill(directory)).toBeUndefined()
    await chmod(join(directory, 'checkout.pub'), 0o666)
    expect(await fill(directory)).toBe('key-file-permissions')
    expect(await fill(directory, { strictModes: false })).toBeUndefined()
    await chmod(join(directory, 'checkout.pub'), 0o644)
    await chmod(directory, 0o777)
    expect(await fill(directory)).toBe('key-file-permissions')
    const mounted = await MountedDirectory.create({ 'checkout.pub': key })
    await chmod(mounted.path, 0o3777)
    expect(await fill(mounted.path)).toBeUndefined()
  })

  it('knows no revocations, and says so', async () => {
    for (const name of ['revoked_keys', 'revoked_key.txt', 'revoked.pub', 'authorized_keys', 'queue_policy']) {
      const directory = await plainDirectory({ 'checkout.pub': key, [name]: key })
      expect(await fill(directory)).toBe('key-malformed')
    }
    const mounted = await MountedDirectory.create({ 'checkout.pub': key })
    await writeFile(join(mounted.path, 'billing.pub'), key)
    expect(await fill(mounted.path)).toBe('key-malformed')
  })
})

it('a command in an error runs in a shell, and prints nothing that a terminal acts on', () => {
  expect(['/etc/keys', 'a b', "it's", '-x', 'x\x1b[31m', 'x\u202e', "x\x1b'\\"].map(shellQuoted)).toEqual([
    '/etc/keys',
    "'a b'",
    `'it'\\''s'`,
    "'-x'",
    "$'x\\x1b[31m'",
    "$'x\\xe2\\x80\\xae'",
    "$'x\\x1b\\x27\\x5c'",
  ])
})
