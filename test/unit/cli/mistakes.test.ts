import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { run } from '../../../src/cli/program.ts'
import { generatePrivateKey } from '../../../src/keys/generate.ts'
import { testKey } from '../authorized-keys/keys.ts'

let folder: string
let output: { out: string; err: string }
const before = process.cwd()
const key = testKey()
const other = testKey()

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-mistakes-'))
  process.chdir(folder)
  output = { out: '', err: '' }
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    output.out += String(text)
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    output.err += String(text)
    return true
  })
})

afterEach(async () => {
  vi.restoreAllMocks()
  process.chdir(before)
  await rm(folder, { recursive: true })
})

async function said(...args: string[]): Promise<{ exit: number; out: string; err: string }> {
  output = { out: '', err: '' }
  const exit = await run(args)
  return { exit, ...output }
}

/** As the kubelet lays a volume out, but writable. */
async function mountVolume(path: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(join(path, '..2026_11_29'), { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(path, '..2026_11_29', name), text)
    await symlink(`..data/${name}`, join(path, name))
  }
  await symlink('..2026_11_29', join(path, '..data'))
}

describe('a Kubernetes volume is changed by the cluster alone', () => {
  const line = `checkout queues="orders" ${key.line}\n`
  const verbs = (path: string): [string, string[]][] => [
    ['revoke', ['revoke', path, key.publicKey.fingerprint]],
    ['authorize', ['authorize', path, 'billing', 'other.pub', '--queues', 'x']],
    ['rotate', ['rotate', path, 'checkout', '--do', '--new', 'other.pub']],
    ['keygen', ['keygen', 'etl', '--queues', 'x', '--out', path]],
  ]

  it.each(['revoke', 'authorize', 'rotate', 'keygen'])('%s is refused, however the path leads there', async (verb) => {
    await writeFile('other.pub', other.line)
    // without revoked_keys, which would be written beside ..data, where it is not read
    await mountVolume('mounted', { authorized_keys: line })
    await symlink('mounted', 'link')
    const whole = await readdir('mounted')
    for (const path of ['mounted', join(folder, 'mounted'), 'link', 'mounted/..data', 'mounted/..2026_11_29']) {
      const args = verbs(path).find(([name]) => name === verb)?.[1] ?? []
      const { exit, out, err } = await said(...args)
      expect([path, exit, out]).toEqual([path, 1, ''])
      expect(err).toContain('ConfigMap or Secret')
      if (verb === 'revoke') expect(err).toContain(key.publicKey.fingerprint)
    }
    if (verb !== 'keygen') {
      const args = verbs('mounted/authorized_keys').find(([name]) => name === verb)?.[1] ?? []
      expect((await said(...args)).exit).toBe(1)
    }
    expect(await readdir('mounted')).toEqual(whole)
    expect(await readdir('mounted/..data')).toEqual(['authorized_keys'])
    expect(await readFile('mounted/authorized_keys', 'utf8')).toBe(line)
  })

  it('a link out of a plain directory into a volume is refused as well', async () => {
    await mountVolume('mounted', { authorized_keys: line })
    await mkdir('keys')
    await symlink('../mounted/authorized_keys', 'keys/authorized_keys')
    await writeFile('other.pub', other.line)
    expect((await said('authorize', 'keys', 'billing', 'other.pub', '--queues', 'x')).exit).toBe(1)
    expect(await readFile('mounted/authorized_keys', 'utf8')).toBe(line)
  })

  it('check finds what was written beside ..data all the same', async () => {
    await mountVolume('mounted', { authorized_keys: line })
    expect((await said('check', 'mounted')).exit).toBe(0)
    await chmod('mounted', 0o1777)
    expect((await said('check', 'mounted')).exit).toBe(0)
    await writeFile('mounted/revoked_keys', `${key.publicKey.fingerprint}\n`)
    const { exit, out } = await said('check', 'mounted', '--json')
    const places = JSON.parse(out).findings.map(({ severity, place }: Record<string, string>) => [severity, place])
    expect([exit, places]).toEqual([1, expect.arrayContaining([['error', 'mounted/revoked_keys']])])
    expect((await said('can', 'mounted', 'checkout', 'orders')).exit).toBe(1)
  })
})

describe('check', () => {
  const line = `checkout queues="orders" ${key.line}\n`
  const rules = async (...more: string[]): Promise<string[]> => {
    const { out } = await said('check', 'keys', '--json', ...more)
    return JSON.parse(out).findings.map(({ severity, rule }: Record<string, string>) => `${severity} ${rule}`)
  }

  it('finds what is meant to revoke, what is open to others, and backups without an original', async () => {
    await mkdir('keys')
    await writeFile('keys/authorized_keys', line)
    expect(await rules()).toEqual([])
    await writeFile('keys/revoked_key', `${key.publicKey.fingerprint}\n`)
    expect(await rules()).toEqual(['warning revoked-line', 'error syntax'])
    await rename('keys/revoked_key', 'keys/revoked_keys~')
    expect(await rules()).toEqual(['warning backup-alone'])
    await writeFile('keys/revoked_keys', '# none\n')
    expect(await rules()).toEqual([])
    await chmod('keys/authorized_keys', 0o666)
    expect(await rules()).toEqual(['error writable-by-others'])
    expect(await rules('--no-strict-modes')).toEqual([])
    await chmod('keys/authorized_keys', 0o644)
    await chmod('keys', 0o777)
    expect(await rules()).toEqual(['error writable-by-others'])
    expect(await rules('--no-strict-modes')).toEqual([])
  })
})

describe('arguments in the wrong order', () => {
  beforeEach(async () => {
    await mkdir('k')
    await writeFile('k/authorized_keys', `a queues="q" ${key.line}\n`)
    await writeFile('a.pub', other.line)
    await writeFile('a.key', generatePrivateKey().export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  })

  it.each<[string[], string]>([
    [['can', 'a', 'k', 'q'], 'can k a q'],
    [['can', 'a', 'q', 'k'], 'can k a q'],
    [['authorize', 'b', 'k', 'a.pub', '--queues', 'q'], 'authorize k b a.pub'],
    [['authorize', 'a.pub', 'b', 'k', '--queues', 'q'], 'authorize k b a.pub'],
    [['authorize', 'k', 'a.pub', 'b', '--queues', 'q'], 'authorize k b a.pub'],
    [['rotate', 'a', 'k'], 'rotate k a'],
    [['revoke', 'a.pub', 'k'], 'revoke k a.pub'],
    [['revoke', `SHA256:${'A'.repeat(43)}`, 'k'], `revoke k SHA256:${'A'.repeat(43)}`],
    [['verify', 'q', '--queue', 'k'], 'verify k --queue q'],
    [['sign', 'a', '--service', 'a.key'], 'sign a.key --service a'],
  ])('%j: the right order is told', async (args, right) => {
    const { exit, err } = await said(...args)
    expect(exit).toBe(2)
    expect(err).toContain(`queue-key-auth ${right}`)
    expect(err).toContain('"k" looks like a key directory'.slice(0, args[0] === 'sign' ? 0 : undefined))
  })

  it.each<[string[], string]>([
    [['authorize', 'b', 'k'], '"k" looks like a key directory'],
    [['can', 'k', 'a'], '"k" looks like a key directory'],
    [['can', 'a', 'k', 'q', 'a.pub'], '"a.pub" looks like a public key file'],
    [['check', 'a.pub'], '"a.pub" looks like a public key file'],
    [['list', 'a.key'], '"a.key" looks like a private key file'],
    [['explain', '--keys', 'a.pub'], '"a.pub" looks like a public key file'],
    [['rotate', 'k', `SHA256:${'A'.repeat(43)}`], 'looks like a fingerprint'],
    [['can', 'k', 'orders.*', 'a'], '"orders.*" looks like a list of queue patterns'],
    [['can', 'k', 'amqp:x/y', 'a'], '"amqp:x/y" looks like an address'],
    [['sign', 'k', '--service', 'a'], '"k" looks like a key directory'],
    [['revoke', 'k', 'foo'], '"foo" is not a fingerprint'],
    [['revoke', 'k', 'a'], key.publicKey.fingerprint],
    [['revoke', 'k', key.publicKey.fingerprint.slice(7)], key.publicKey.fingerprint],
    [['public-line', 'k'], '"k" looks like a key directory'],
  ])('%j: which looks like what is told', async (args, words) => {
    const { exit, err } = await said(...args)
    expect([exit, err]).toEqual([2, expect.stringContaining(words)])
    expect(await readdir('k')).toEqual(['authorized_keys'])
  })

  it('a queue and a service swapped: no, and which is which', async () => {
    const { exit, err } = await said('can', 'k', 'q', 'a')
    expect([exit, err]).toEqual([1, expect.stringContaining('"a" is a service')])
  })

  it('names of files and directories can be names of services and queues', async () => {
    await mkdir('a')
    await writeFile('q', '')
    expect((await said('can', 'k', 'a', 'q')).exit).toBe(0)
    expect((await said('can', 'k', 'a', 'k')).exit).toBe(1)
  })
})

describe('names that a terminal would act on', () => {
  const HOSTILE = ['x\x1b[31mEVIL', 'x\u202eLIVE', 'x\u0085y', 'x\ny: 0 errors', 'x\u2028y', 'x\u200by', 'x\x7f']
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const ACTS = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/

  it.each(HOSTILE)('%j: every command escapes it, on stdout, in JSON and on stderr', async (name) => {
    const directory = `${name}.keys`
    await mkdir(directory)
    await writeFile(join(directory, `${name}.authorized_keys`), `a queues="q" ${key.line} ${name.replace('\n', '')}\n`)
    await writeFile(join(directory, 'authorized_keys'), 'nonsense\n')
    await writeFile(join(directory, `${name}.pem`), generatePrivateKey().export({ type: 'pkcs8', format: 'pem' }))
    await writeFile(`${name}.pub`, other.line)
    const commands = (path: string): string[][] => [
      ['check', path],
      ['check', path, '--json'],
      ['list', path],
      ['list', path, '--json'],
      ['can', path, 'a', name],
      ['can', path, 'a', name, '--json'],
      ['can', path, 'a', 'q', '--json'],
      ['can', path, 'nobody', 'q'],
      ['rotate', path, 'a'],
      ['rotate', path, 'a', '--json'],
      ['revoke', path, name],
      ['revoke', path, key.publicKey.fingerprint],
      ['revoke', path, key.publicKey.fingerprint, '--json'],
      ['authorize', path, name, `${name}.pub`, '--queues', 'q'],
      ['authorize', path, 'b', `${name}.pub`, '--queues', 'q'],
      ['authorize', path, 'b', `${name}.pub`, '--queues', 'q', '--json'],
      ['authorize', path, 'b', `${name}.none`, '--queues', 'q'],
      ['public-line', `${name}.pub`],
      ['sign', `${name}.none`, '--service', 'a'],
      ['inspect', name],
      [name],
      ['check', `--${name}`],
      ['check', `${name}.none`],
    ]
    // broken at first, then in order, then as single file
    const paths = [directory, directory, join(directory, `${name}.authorized_keys`)]
    for (const [index, path] of paths.entries()) {
      if (index === 1) {
        await rm(join(directory, 'authorized_keys'))
        await rm(join(directory, `${name}.pem`))
      }
      for (const command of commands(path)) {
        const { out, err } = await said(...command)
        expect([command, ACTS.exec(out)?.[0], ACTS.exec(err)?.[0]]).toEqual([command, undefined, undefined])
        // A line break in a name must not begin a line of ours.
        expect(`${out}\n${err}`).not.toMatch(/^y: 0 errors/m)
        if (command.includes('--json') && out !== '') expect(JSON.parse(out)).toBeTypeOf('object')
      }
    }
  })
})

describe('public-line', () => {
  it('prints the public line of what keygen and ssh-keygen write, and of public keys', async () => {
    expect((await said('keygen', 'checkout', '--queues', 'orders.*')).exit).toBe(0)
    const line = output.out.trim()
    const { exit, out } = await said('public-line', 'checkout.key', '--service', 'checkout', '--queues', 'orders.*')
    expect([exit, out.trim()]).toEqual([0, line])
    const short = (await said('public-line', 'checkout.key')).out.trim()
    expect(line).toContain(short)
    await writeFile('checkout.pub', `${short}\n`)
    await writeFile('checkout.line', `${line}\n`)
    for (const file of ['checkout.pub', 'checkout.line']) {
      expect((await said('public-line', file)).out.trim()).toBe(short)
    }
    expect(JSON.parse((await said('public-line', 'checkout.key', '--json')).out)).toMatchObject({ line: short })
  })

  it('says what is wrong, and prints nothing private', async () => {
    const pem = generatePrivateKey().export({ type: 'pkcs8', format: 'pem' }).toString()
    await writeFile('open.key', pem, { mode: 0o644 })
    await writeFile('half.key', pem.slice(0, 70), { mode: 0o600 })
    await writeFile('a.key', pem, { mode: 0o600 })
    for (const [args, code] of [
      [['open.key'], 1],
      [['half.key'], 1],
      [['none.key'], 1],
      [['a.key', '--queues', 'q'], 2],
      [['a.key', '--service', 'a'], 2],
      [['a.key', '--service', 'a', '--queues', 'q', '--alg', 'RS256'], 2],
    ] as const) {
      const { exit, out, err } = await said('public-line', ...args)
      expect([args, exit, out]).toEqual([args, code, ''])
      expect(err).not.toContain(pem.slice(40, 60))
    }
  })
})
