import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { MemoryBroker, wrapConsumer, wrapProducer } from '../../adapters/memory/index.ts'
import { AuthorizedKeys, Signer, senderOf, Verifier } from '../../src/index.ts'
import { ALGORITHMS, type Algorithm } from '../../src/keys/algorithms.ts'
import { builtProgram } from '../built.ts'
import { runCommand, runShell, temporaryFolder } from './command.ts'

const hasSshKeygen = ((): boolean => {
  try {
    execFileSync('ssh-keygen', ['-Q', 'sig'], { stdio: 'ignore' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
})()

describe('keygen', () => {
  beforeAll(() => builtProgram())

  it.each(ALGORITHMS)('makes a %s key that signs what its line authorizes', async (alg: Algorithm) => {
    await using place = await temporaryFolder()
    const { exitCode, stdout } = await runCommand(['keygen', 'checkout', '--queues', 'orders.*', '--alg', alg], {
      cwd: place.path,
    })
    expect(exitCode).toBe(0)
    const path = join(place.path, 'checkout.key')
    using signer = await Signer.fromFile(path, { service: 'checkout', algorithm: alg })
    const broker = new MemoryBroker()
    const consumer = wrapConsumer(broker.connect(), new Verifier({ keys: AuthorizedKeys.parse(stdout) }))
    wrapProducer(broker.connect(), signer).publish('orders.new', Buffer.from('1'))
    const service = await new Promise((resolve) => {
      void consumer.consume('orders.new', (message) => resolve(senderOf(message)?.service))
    })
    expect(service).toBe('checkout')
  })

  it('sign writes the name of the algorithm that was asked for', async () => {
    await using place = await temporaryFolder()
    const made = await runCommand(['keygen', 'checkout', '--queues', 'orders'], { cwd: place.path })
    expect(made.exitCode).toBe(0)
    const sign = 'queue-key-auth sign checkout.key --service checkout --to memory:orders --token'
    const algOf = async (options: string): Promise<unknown> => {
      const { stdout } = await runShell(`echo '{"payload":"hello"}' | ${sign} ${options}`, { cwd: place.path })
      return (JSON.parse(Buffer.from(stdout.split('.')[0] as string, 'base64url').toString()) as { alg: unknown }).alg
    }
    expect(await algOf('')).toBe('Ed25519')
    expect(await algOf('--alg EdDSA')).toBe('EdDSA')
    const wrong = await runShell(`echo '{"payload":"hello"}' | ${sign} --alg ES256`, { cwd: place.path })
    expect(wrong.exitCode).toBe(2)
  })

  it('writes PKCS#8 that only the owner may read, and prints nothing of it', async () => {
    await using place = await temporaryFolder()
    const { stdout, stderr } = await runCommand(
      ['keygen', 'checkout', '--queues', '**', '--json', '--out', 'keys/new'],
      {
        cwd: place.path,
      },
    )
    const made = JSON.parse(stdout) as Record<string, unknown>
    const path = join(place.path, String(made.privateKeyFile))
    const pem = await readFile(path, 'utf8')
    expect(pem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(place.path, 'keys'))).mode & 0o077).toBe(0)
    const { d } = createPrivateKey(pem).export({ format: 'jwk' })
    const secrets = [String(d), Buffer.from(String(d), 'base64url').toString('base64'), pem.split('\n')[1] as string]
    for (const secret of secrets) expect(stdout + stderr).not.toContain(secret)
    expect(made).toMatchObject({ service: 'checkout', queues: ['**'], alg: 'Ed25519' })
    const signer = Signer.fromKey(pem, { service: 'checkout' })
    expect(made).toMatchObject({ fingerprint: signer.fingerprint, keyId: signer.keyId })
    expect(made.authorizedKeysLine).toBe(signer.authorizedKeysLine('**'))
  })

  it.skipIf(!hasSshKeygen)('prints a key that ssh-keygen reads, under the fingerprint it told', async () => {
    await using place = await temporaryFolder()
    const run = await runCommand(['keygen', 'checkout', '--queues', 'orders', '--alg', 'ES256'], { cwd: place.path })
    const file = join(place.path, 'key.pub')
    await writeFile(file, run.stdout.split(' ').slice(2).join(' '))
    const [, fingerprint = ''] = execFileSync('ssh-keygen', ['-lf', file], { encoding: 'utf8' }).split(' ')
    expect(fingerprint).toMatch(/^SHA256:/)
    expect(run.stderr).toContain(fingerprint)
  })

  it('never overwrites: not a file, and not what a link points to', async () => {
    await using place = await temporaryFolder()
    await writeFile(join(place.path, 'checkout.key'), 'precious')
    await symlink(join(place.path, 'elsewhere'), join(place.path, 'billing.key'))
    for (const service of ['checkout', 'billing']) {
      const { exitCode, stdout } = await runCommand(['keygen', service, '--queues', 'orders'], { cwd: place.path })
      expect([exitCode, stdout]).toEqual([1, ''])
    }
    expect(await readFile(join(place.path, 'checkout.key'), 'utf8')).toBe('precious')
    expect((await readdir(place.path)).sort()).toEqual(['billing.key', 'checkout.key'])
  })

  it('keeps the file in its folder, whatever the service is called', async () => {
    await using place = await temporaryFolder()
    const { exitCode } = await runCommand(['keygen', 'shop/../../eu/checkout', '--queues', 'orders'], {
      cwd: place.path,
    })
    expect(exitCode).toBe(0)
    const [file = ''] = await readdir(place.path)
    expect(file).toBe('shop+..+..+eu+checkout.key')
    expect(createPublicKey(await readFile(join(place.path, file))).asymmetricKeyType).toBe('ed25519')
  })

  it.each([
    ['no service', ['keygen', '--queues', 'orders']],
    ['a service that is none', ['keygen', '../checkout', '--queues', 'orders']],
    ['no queues', ['keygen', 'checkout']],
    ['vetoes only', ['keygen', 'checkout', '--queues', '!orders']],
    ['a quote in a pattern', ['keygen', 'checkout', '--queues', 'a",alg="RS256']],
    ['an unknown algorithm', ['keygen', 'checkout', '--queues', 'orders', '--alg', 'HS256']],
  ])('leaves nothing behind when given %s', async (_, args) => {
    await using place = await temporaryFolder()
    const { exitCode, stdout } = await runCommand(args, { cwd: place.path })
    expect([exitCode, stdout, await readdir(place.path)]).toEqual([2, '', []])
  })
})
