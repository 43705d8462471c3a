import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readPrivateKeyFile, readPublicKeyFile } from '../../../src/keys/key-files.ts'
import { readPrivateKey } from '../../../src/keys/private-key.ts'
import { openSshPublicKey, publicKeyOf, readPublicKey } from '../../../src/keys/public-key.ts'
import { signData, verifyData } from '../../../src/keys/signatures.ts'
import { codeOf, privateKeyFor, privateKeys } from './helpers.ts'

const installed = (command: string): boolean => spawnSync(command, ['-?']).error === undefined
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'key-tools-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

describe.skipIf(!installed('ssh-keygen'))('ssh-keygen', () => {
  it.each([
    ['ed25519', ['-t', 'ed25519']],
    ['p256', ['-t', 'ecdsa', '-b', '256']],
    ['p384', ['-t', 'ecdsa', '-b', '384']],
    ['rsa', ['-t', 'rsa', '-b', '2048']],
    ['rsa', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
    ['p256', ['-t', 'ecdsa', '-b', '256', '-m', 'PKCS8']],
  ] as const)('%s: what `ssh-keygen %j` writes is read', async (type, options) => {
    const name = options.join('')
    run('ssh-keygen', '-q', '-N', '', '-C', 'checkout@example.org 2026', '-f', name, ...options)
    const key = publicKeyOf(await readPrivateKeyFile(join(folder, name)))
    expect(key.type).toBe(type)
    expect((await readPublicKeyFile(join(folder, `${name}.pub`))).keyId).toBe(key.keyId)
    expect(run('ssh-keygen', '-lf', name).split(' ')[1]).toBe(key.fingerprint)
    expect(run('ssh-keygen', '-y', '-f', name).split(' ', 2).join(' ').trim()).toBe(openSshPublicKey(key))
  })

  it('reads what is written here', () => {
    for (const [type, privateKey] of privateKeys()) {
      const key = publicKeyOf(privateKey)
      writeFileSync(join(folder, `${type}.pub`), openSshPublicKey(key))
      expect(run('ssh-keygen', '-lf', `${type}.pub`).split(' ')[1]).toBe(key.fingerprint)
    }
  })

  it('an encrypted key is refused, and mended by the command that the error tells', () => {
    run('ssh-keygen', '-q', '-t', 'ed25519', '-N', 'secret', '-f', 'locked')
    const locked = readFileSync(join(folder, 'locked'))
    expect(codeOf(() => readPrivateKey(locked, { passphrase: 'secret' }))).toBe('key-encrypted')
    run('ssh-keygen', '-q', '-p', '-P', 'secret', '-N', '', '-f', 'locked')
    expect(publicKeyOf(readPrivateKey(readFileSync(join(folder, 'locked')))).type).toBe('ed25519')
  })

  it('certificates, P-521 and short RSA keys are refused', () => {
    run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', 'ca')
    run('ssh-keygen', '-q', '-s', 'ca', '-I', 'id', 'ca.pub')
    expect(codeOf(() => readPublicKey(readFileSync(join(folder, 'ca-cert.pub'))))).toBe('key-type-unsupported')
    run('ssh-keygen', '-q', '-t', 'ecdsa', '-b', '521', '-N', '', '-f', 'p521')
    expect(codeOf(() => readPublicKey(readFileSync(join(folder, 'p521.pub'))))).toBe('key-type-unsupported')
    expect(codeOf(() => readPrivateKey(readFileSync(join(folder, 'p521'))))).toBe('key-type-unsupported')
    run('ssh-keygen', '-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', 'short')
    expect(codeOf(() => readPublicKey(readFileSync(join(folder, 'short.pub'))))).toBe('key-too-weak')
    expect(codeOf(() => readPrivateKey(readFileSync(join(folder, 'short'))))).toBe('key-too-weak')
  })
})

describe.skipIf(!installed('openssl'))('openssl', () => {
  it.each([
    ['ed25519', ['genpkey', '-algorithm', 'ed25519']],
    ['p256', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']],
    ['p384', ['ecparam', '-name', 'secp384r1', '-genkey']],
    ['rsa', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']],
    ['rsa', ['genrsa', '-traditional', '2048']],
  ] as const)('%s: what `openssl %j` writes is read, and the public half too', (type, options) => {
    const [command, ...rest] = options
    run('openssl', command, '-out', 'key.pem', ...rest)
    const key = publicKeyOf(readPrivateKey(readFileSync(join(folder, 'key.pem'))))
    expect(key.type).toBe(type)
    expect(readPublicKey(run('openssl', 'pkey', '-in', 'key.pem', '-pubout')).keyId).toBe(key.keyId)
    run('openssl', 'pkey', '-in', 'key.pem', '-aes256', '-passout', 'pass:secret', '-out', 'locked.pem')
    const locked = readFileSync(join(folder, 'locked.pem'))
    expect(publicKeyOf(readPrivateKey(locked, { passphrase: 'secret' })).keyId).toBe(key.keyId)
    expect(codeOf(() => readPrivateKey(locked))).toBe('key-encrypted')
    if (type === 'rsa') {
      expect(readPublicKey(run('openssl', 'rsa', '-in', 'key.pem', '-RSAPublicKey_out')).keyId).toBe(key.keyId)
    }
  })

  it('verifies what is signed here, and the other way round', () => {
    const data = Buffer.from('signing input')
    writeFileSync(join(folder, 'data'), data)
    const pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:32']
    for (const [algorithm, options] of [
      ['PS256', pss],
      ['RS256', []],
    ] as const) {
      const key = privateKeyFor(algorithm)
      writeFileSync(join(folder, 'key.pem'), key.export({ type: 'pkcs8', format: 'pem' }))
      writeFileSync(join(folder, 'public.pem'), publicKeyOf(key).keyObject.export({ type: 'spki', format: 'pem' }))
      writeFileSync(join(folder, 'signature'), signData(algorithm, key, data))
      run('openssl', 'dgst', '-sha256', ...options, '-verify', 'public.pem', '-signature', 'signature', 'data')
      run('openssl', 'dgst', '-sha256', ...options, '-sign', 'key.pem', '-out', 'signature', 'data')
      expect(verifyData(algorithm, publicKeyOf(key).keyObject, data, readFileSync(join(folder, 'signature')))).toBe(
        true,
      )
    }
  })
})
