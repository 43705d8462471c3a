import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Algorithm, AuthorizedKeys, Signer, type SignerFileOptions, Verifier } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { publicKeyOf } from '../../src/keys/public-key.ts'
import { heard, MountedDirectory, newDirectory, replaceFile } from './directories.ts'

const pemOf = (algorithm: Algorithm = 'Ed25519'): { pem: string; keyId: string } => {
  const key = generatePrivateKey(algorithm)
  return { pem: key.export({ type: 'pkcs8', format: 'pem' }).toString(), keyId: publicKeyOf(key).keyId }
}

async function open(
  path: string,
  options: Partial<SignerFileOptions> = {},
  atEnd: typeof onTestFinished = onTestFinished,
): Promise<Signer> {
  const signer = await Signer.fromFile(path, { service: 'checkout', ...options })
  atEnd(() => signer.close())
  return signer
}

/** What was signed says the key that signed it, and that key verifies it. */
function keyOfToken(signer: Signer): string {
  const message = { destination: 'memory:orders', payload: Buffer.from('1') }
  const verifier = new Verifier({ keys: AuthorizedKeys.parse(signer.authorizedKeysLine('orders')), replay: 'off' })
  const token = signer.sign(message)
  const { sender } = verifier.verify({
    queue: 'orders',
    deliveredBy: [message.destination],
    token,
    payload: message.payload,
    properties: {},
    headers: {},
  })
  return sender.keyId
}

describe('a signer and its key file', () => {
  it('signs with the key that is there: replaced, written in place, of another type, and through ..data', async () => {
    heard()
    const [one, two, three] = [pemOf(), pemOf('ES256'), pemOf()]
    const mounted = await MountedDirectory.create({ 'checkout.key': one.pem })
    const signer = await open(join(mounted.path, 'checkout.key'))
    expect(keyOfToken(signer)).toBe(one.keyId)
    await mounted.swap({ 'checkout.key': two.pem })
    await expect.poll(() => keyOfToken(signer)).toBe(two.keyId)
    expect(signer.algorithm).toBe('ES256')

    const directory = await newDirectory()
    const path = join(directory, 'checkout.key')
    await writeFile(path, one.pem, { mode: 0o600 })
    const plain = await open(path)
    await writeFile(path, three.pem)
    await expect.poll(() => keyOfToken(plain)).toBe(three.keyId)
  })

  it('is polled where nothing tells of a change', async () => {
    heard()
    const home = await newDirectory()
    const [one, two] = [pemOf(), pemOf()]
    const { symlink } = await import('node:fs/promises')
    await mkdir(join(home, 'elsewhere'))
    await mkdir(join(home, 'here'))
    await writeFile(join(home, 'elsewhere', 'key'), one.pem, { mode: 0o600 })
    await symlink('../elsewhere/key', join(home, 'here', 'key'))
    const signer = await open(join(home, 'here', 'key'), { pollSeconds: 0.1 })
    await writeFile(join(home, 'elsewhere', 'key'), two.pem)
    await expect.poll(() => keyOfToken(signer)).toBe(two.keyId)
  })

  it.concurrent.for<[string, (path: string) => Promise<unknown>, string]>([
    ['half a key', (path) => writeFile(path, pemOf().pem.slice(0, 60)), 'key-malformed'],
    ['an empty file', (path) => writeFile(path, ''), 'key-malformed'],
    ['no file', (path) => unlink(path), 'key-file-unreadable'],
    ['a directory', (path) => unlink(path).then(() => mkdir(path)), 'key-file-unreadable'],
    ['a file that is open to others', (path) => chmod(path, 0o644), 'key-file-permissions'],
    ['a key that does not fit the options', (path) => writeFile(path, pemOf('ES256').pem), 'option-invalid'],
    [
      'halves that do not belong together',
      (path) => {
        const [one, two] = [generatePrivateKey(), generatePrivateKey()].map((key) => key.export({ format: 'jwk' }))
        return writeFile(path, JSON.stringify({ ...one, x: two?.x }))
      },
      'key-malformed',
    ],
  ])('%s: the last good key goes on signing, and it is said', async ([, breaks, code], { expect, onTestFinished }) => {
    const events = heard(onTestFinished)
    const errors: unknown[] = []
    const directory = await newDirectory(onTestFinished)
    const path = join(directory, 'checkout.key')
    const [one, two] = [pemOf(), pemOf()]
    await writeFile(path, one.pem, { mode: 0o600 })
    const signer = await open(
      path,
      { algorithm: 'Ed25519', onError: (error) => errors.push(error.code) },
      onTestFinished,
    )
    await breaks(path)
    await expect.poll(() => signer.health.state).toBe('broken')
    expect(signer.health.error).toMatchObject({ code })
    expect(keyOfToken(signer)).toBe(one.keyId)
    await rm(path, { recursive: true, force: true })
    await writeFile(path, two.pem, { mode: 0o600 })
    await expect.poll(() => keyOfToken(signer)).toBe(two.keyId)
    expect(signer.health).toEqual({ state: 'ok', error: undefined })
    expect(errors).toContain(code)
    const own = events.filter(({ source }) => source === path)
    expect(own.at(-1)).toEqual({ role: 'signer', source: path, state: 'ok' })
    expect(JSON.stringify([own, signer.health])).not.toContain(one.pem.split('\n')[1])
  })

  it('a key file that cannot be used at the start is an error', async () => {
    const path = join(await newDirectory(), 'checkout.key')
    const codeOf = (options: Partial<SignerFileOptions> = {}): Promise<unknown> =>
      open(path, options).catch((error: { code: string }) => error.code)
    expect(await codeOf()).toBe('key-file-unreadable')
    await writeFile(path, pemOf('ES256').pem, { mode: 0o600 })
    expect(await codeOf({ algorithm: 'PS256' })).toBe('option-invalid')
    expect(await codeOf({ pollSeconds: -1 })).toBe('option-invalid')
    expect(await codeOf({ service: '' })).toBe('service-invalid')
  })
})

/**
 * Runs a program that watches keys; it must end by itself, and say what keeps it alive meanwhile. It writes that into a file,
 * because a pipe would be such a resource itself: Node.js 22 and 24 open their standard streams by themselves.
 */
async function resourcesOf(after: string, atEnd: typeof onTestFinished): Promise<unknown> {
  const directory = await newDirectory(atEnd)
  const signer = Signer.generate('checkout')
  await replaceFile(directory, 'authorized_keys', signer.authorizedKeysLine('orders'))
  const home = await newDirectory(atEnd)
  await writeFile(join(home, 'checkout.key'), pemOf().pem, { mode: 0o600 })
  const { builtProgram } = await import('../built.ts')
  const library = join(await builtProgram(), 'src', 'index.js')
  const result = join(home, 'resources.json')
  const program = `
    const { writeFileSync } = await import('node:fs')
    const { AuthorizedKeys, Signer } = await import(${JSON.stringify(library)})
    const keys = await AuthorizedKeys.fromDirectory(${JSON.stringify(directory)})
    const signer = await Signer.fromFile(${JSON.stringify(join(home, 'checkout.key'))}, { service: 'checkout' })
    await keys.refresh()
    ${after}
    let resources
    // A read that is under way ends, and nothing comes after it.
    for (let looks = 0; looks < 600 && resources?.length !== 0; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      resources = process.getActiveResourcesInfo()
    }
    writeFileSync(${JSON.stringify(result)}, JSON.stringify(resources))
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  return { code, resources: JSON.parse(await readFile(result, 'utf8')) }
}

describe('what watching leaves behind', () => {
  it.concurrent.for([
    ['without being closed', ''],
    ['closed', 'keys.close(); signer.close()'],
    ['disposed of', 'keys[Symbol.dispose](); signer[Symbol.dispose]()'],
    ['closed while reading', 'keys.refresh(); keys.close(); signer.close()'],
  ])('%s, a program ends by itself and nothing is active', async ([, after = ''], { expect, onTestFinished }) => {
    expect(await resourcesOf(after, onTestFinished)).toEqual({ code: 0, resources: [] })
  })
})
