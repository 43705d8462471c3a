import { createPublicKey, createSecretKey, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generatePrivateKey } from '../../../src/keys/generate.ts'
import { openSshBlob, SSH_WORDS } from '../../../src/keys/openssh-public.ts'
import { containsPrivateKey, readPrivateKey } from '../../../src/keys/private-key.ts'
import { openSshPublicKey, publicJwk, publicKeyOf, readPublicKey } from '../../../src/keys/public-key.ts'
import { sshString } from '../../../src/keys/ssh-wire.ts'
import { codeOf, privateKeyFor, privateKeys, setupErrorOf } from './helpers.ts'
import { type OpenSshParts, openSshPrivate, privateFields } from './private-key-files.ts'

const pkcs8 = (key: KeyObject, passphrase?: string): string =>
  String(
    key.export(
      passphrase === undefined
        ? { type: 'pkcs8', format: 'pem' }
        : { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase },
    ),
  )

describe('readPrivateKey', () => {
  it.each(privateKeys())('%s: is the same key in every form', (type, key) => {
    const forms: Parameters<typeof readPrivateKey>[0][] = [
      key,
      pkcs8(key),
      Buffer.from(`\ufeff${pkcs8(key)}`),
      pkcs8(key).replaceAll('\n', '\r\n'),
      key.export({ format: 'jwk' }),
      { ...key.export({ format: 'jwk' }), use: 'sig', key_ops: ['sign'], kid: 'any' },
      JSON.stringify(key.export({ format: 'jwk' })),
      openSshPrivate(type, key),
      ...(type === 'rsa' ? [key.export({ type: 'pkcs1', format: 'pem' })] : []),
      ...(type === 'p256' || type === 'p384' ? [key.export({ type: 'sec1', format: 'pem' })] : []),
    ]
    for (const form of forms) expect(readPrivateKey(form).equals(key)).toBe(true)
    expect(readPrivateKey(pkcs8(key, 'secret'), { passphrase: 'secret' }).equals(key)).toBe(true)
    expect(readPrivateKey(pkcs8(key, 'secret'), { passphrase: Buffer.from('secret') }).equals(key)).toBe(true)
    expect(readPrivateKey(pkcs8(key), { passphrase: 'not needed' }).equals(key)).toBe(true)
  })

  it('keeps the zero octets at the front of an OpenSSH private number', () => {
    for (let i = 0; i < 300; i++) {
      const key = generatePrivateKey('ES256')
      expect(readPrivateKey(openSshPrivate('p256', key)).equals(key)).toBe(true)
    }
  })

  it('says which passphrase is missing or wrong', () => {
    const key = privateKeyFor('Ed25519')
    expect(codeOf(() => readPrivateKey(pkcs8(key, 'secret')))).toBe('key-encrypted')
    expect(codeOf(() => readPrivateKey(pkcs8(key, 'secret'), { passphrase: 'wrong' }))).toBe('key-encrypted')
    expect(codeOf(() => readPrivateKey(pkcs8(key, 'secret'), { passphrase: '' }))).toBe('key-encrypted')
    const openSsh = openSshPrivate('ed25519', key, { cipher: 'aes256-ctr', kdfOptions: 'salt' })
    expect(codeOf(() => readPrivateKey(openSsh, { passphrase: 'secret' }))).toBe('key-encrypted')
  })

  it('refuses public keys', () => {
    for (const [, key] of privateKeys()) {
      const publicKey = publicKeyOf(key)
      const pem = String(publicKey.keyObject.export({ type: 'spki', format: 'pem' }))
      for (const form of [publicKey.keyObject, pem, openSshPublicKey(publicKey), publicJwk(publicKey)]) {
        expect(codeOf(() => readPrivateKey(form))).toBe('key-missing')
      }
      expect(codeOf(() => publicKeyOf(publicKey.keyObject))).toBe('key-missing')
    }
  })

  it('refuses what is not supported or too weak', () => {
    const pem = (type: 'x25519' | 'ed448'): string => pkcs8(generateKeyPairSync(type as 'x25519').privateKey)
    const jwk = privateKeyFor('PS256').export({ format: 'jwk' })
    for (const form of [
      createSecretKey(Buffer.alloc(32)),
      pem('x25519'),
      pem('ed448'),
      pkcs8(generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey),
      pkcs8(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey),
      pkcs8(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey),
      '-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----',
      'PuTTY-User-Key-File-3: ssh-ed25519\n',
      { kty: 'oct', k: 'c2VjcmV0' },
      { ...jwk, alg: 'RSA-OAEP' },
      { ...jwk, use: 'enc' },
      { ...jwk, key_ops: ['verify'] },
      { ...jwk, oth: [] },
      openSshPrivate('ed25519', privateKeyFor('Ed25519'), { word: 'ssh-dss' }),
      openSshPrivate('ed25519', privateKeyFor('Ed25519'), { word: 'sk-ssh-ed25519@openssh.com' }),
    ] as Parameters<typeof readPrivateKey>[0][]) {
      expect(codeOf(() => readPrivateKey(form))).toBe('key-type-unsupported')
    }
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
    const exponent3 = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).privateKey
    for (const form of [
      weak,
      exponent3,
      pkcs8(weak),
      weak.export({ format: 'jwk' }),
      openSshPrivate('rsa', exponent3),
    ]) {
      expect(codeOf(() => readPrivateKey(form))).toBe('key-too-weak')
    }
  })

  it('refuses keys whose halves do not belong together', () => {
    const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    for (const algorithm of ['Ed25519', 'ES256', 'ES384', 'PS256'] as const) {
      const jwk = privateKeyFor(algorithm).export({ format: 'jwk' })
      const { x, y, n } = createPublicKey(algorithm === 'PS256' ? otherRsa : generatePrivateKey(algorithm)).export({
        format: 'jwk',
      })
      const mixed = JSON.parse(JSON.stringify({ ...jwk, x, y, n })) as JsonWebKey
      expect(
        codeOf(() => readPrivateKey(mixed)),
        algorithm,
      ).toBe('key-malformed')
    }
  })

  it('reads openssh-key-v1 strictly', () => {
    const key = privateKeyFor('Ed25519')
    const other = generatePrivateKey()
    const blob = openSshBlob('ed25519', other.export({ format: 'jwk' }))
    const fields = privateFields('ed25519', key.export({ format: 'jwk' }))
    for (const parts of [
      { kdfOptions: 'options' },
      { keys: 2 },
      { publicBlob: blob },
      { checks: [7, 8] },
      { fields: privateFields('ed25519', other.export({ format: 'jwk' })) },
      { fields: fields.subarray(0, fields.length - 1) },
      { fields: Buffer.concat([fields.subarray(0, 36), sshString(Buffer.alloc(64))]) },
      { padding: Buffer.alloc(5) },
      { padding: Buffer.from([1, 2, 3]) },
      { after: Buffer.alloc(1) },
      { word: SSH_WORDS.p256 },
    ] satisfies OpenSshParts[]) {
      expect(
        codeOf(() => readPrivateKey(openSshPrivate('ed25519', key, parts))),
        inspect(parts),
      ).toBe('key-malformed')
    }
    const rsa = privateKeyFor('PS256').export({ format: 'jwk' })
    for (const changed of [{ p: 'AQ' }, { q: 'Ag' }, { n: rsa.p }] as JsonWebKey[]) {
      const broken = openSshPrivate('rsa', privateKeyFor('PS256'), {
        fields: privateFields('rsa', { ...rsa, ...changed }),
      })
      expect(codeOf(() => readPrivateKey(broken))).toBe('key-malformed')
    }
  })

  it('refuses damaged text without quoting it', () => {
    const jwk = privateKeyFor('ES256').export({ format: 'jwk' })
    const text = JSON.stringify(jwk)
    for (const form of [
      pkcs8(privateKeyFor('ES256')).slice(0, -40),
      pkcs8(privateKeyFor('ES256')).replace(/\n.{20}/, '\n'),
      text.slice(0, -1),
      text.replace('"d"', '"d":"x","d"').replace('}', ''),
      { ...jwk, d: `${jwk.d}A` },
      { ...jwk, x: `${jwk.x}=` },
      { ...jwk, d: Buffer.alloc(32).toString('base64url') },
      { ...jwk, d: Buffer.alloc(32, 0xff).toString('base64url') },
      openSshPrivate('p256', privateKeyFor('ES256')).split('\n').slice(1, -2).join('\n'),
      '',
      'secret',
    ] as Parameters<typeof readPrivateKey>[0][]) {
      const error = setupErrorOf(() => readPrivateKey(form, { position: { file: 'erp.key' } }))
      expect(error?.code).toBe('key-malformed')
      expect(error?.message.startsWith('erp.key: ')).toBe(true)
      const shown = inspect(error, { depth: 9 })
      for (const secret of [jwk.d, jwk.x]) expect(shown).not.toContain(secret?.slice(0, 12))
    }
  })

  it('a changed octet of an OpenSSH private key never makes it sign for another key', () => {
    for (const [type, key] of privateKeys()) {
      const lines = openSshPrivate(type, key).split('\n')
      const file = Buffer.from(lines.slice(1, -2).join(''), 'base64')
      fc.assert(
        fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 255 }), (at, mask) => {
          const changed = Buffer.from(file)
          changed[at % file.length] = (changed[at % file.length] as number) ^ mask
          const pem = [lines[0], changed.toString('base64'), ...lines.slice(-2)].join('\n')
          if (setupErrorOf(() => readPrivateKey(pem)) === undefined) {
            expect(publicKeyOf(readPrivateKey(pem)).keyId).toBe(publicKeyOf(key).keyId)
          }
        }),
        { numRuns: 60 },
      )
    }
  })
})

describe('containsPrivateKey', () => {
  it('is true of every private form and false of every public one', () => {
    for (const [type, key] of privateKeys()) {
      const jwk = key.export({ format: 'jwk' })
      const publicKey = publicKeyOf(key)
      for (const text of [
        pkcs8(key),
        pkcs8(key, 'secret'),
        `checkout queues="**" ssh-ed25519 AAAA\n${pkcs8(key)}`,
        openSshPrivate(type, key),
        openSshPrivate(type, key).split('\n').slice(1, -2).join('\n'),
        JSON.stringify(jwk),
        JSON.stringify({ keys: [publicJwk(publicKey), jwk] }, null, 1),
        JSON.stringify([jwk]),
        JSON.stringify(jwk).replace('"d"', '"\\u0064"'),
        `${JSON.stringify(jwk)},`,
      ]) {
        expect(containsPrivateKey(text)).toBe(true)
        expect(containsPrivateKey(Buffer.from(text))).toBe(true)
        expect(containsPrivateKey(Buffer.from(`\ufeff${text}`, 'utf16le'))).toBe(true)
      }
      for (const text of [
        String(publicKey.keyObject.export({ type: 'spki', format: 'pem' })),
        openSshPublicKey(publicKey),
        JSON.stringify({ keys: [publicJwk(publicKey)] }),
        `checkout queues="d,k" ${openSshPublicKey(publicKey)} d: k: p:`,
        '',
      ]) {
        expect(containsPrivateKey(text)).toBe(false)
        expect(containsPrivateKey(Buffer.from(text))).toBe(false)
      }
    }
    expect(containsPrivateKey('---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----')).toBe(true)
    expect(containsPrivateKey('PuTTY-User-Key-File-2: ssh-rsa')).toBe(true)
    expect(containsPrivateKey('{"kty":"oct","k":"c2VjcmV0"}')).toBe(true)
  })
})

describe('generatePrivateKey', () => {
  it('makes keys that pass the checks', () => {
    for (const [type, key] of privateKeys())
      expect(readPublicKey(publicKeyOf(readPrivateKey(key)).keyObject).type).toBe(type)
    expect(publicKeyOf(generatePrivateKey()).type).toBe('ed25519')
    expect(privateKeyFor('PS256').asymmetricKeyDetails).toEqual({ modulusLength: 3072, publicExponent: 65537n })
  })
})
