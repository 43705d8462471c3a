import { createPublicKey, createSecretKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import fc from 'fast-check'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { KeyStore } from '../../../src/jwt-key-auth/index.ts'
import { isCanonicalPoint, isLowOrderPoint } from '../../../src/keys/edwards-points.ts'
import { openSshPublicKey, publicJwk, publicKeyOf, readPublicKey } from '../../../src/keys/public-key.ts'
import { sshMpint, sshString } from '../../../src/keys/ssh-wire.ts'
import { codeOf, LOW_ORDER_POINTS, privateKeys, setupErrorOf } from './helpers.ts'

const openSshLine = (word: string, ...parts: Uint8Array[]): string =>
  `${word} ${Buffer.concat([sshString(word), ...parts]).toString('base64')}`
const octets = (bytes: number[], length: number): Buffer => Buffer.concat([Buffer.from(bytes), Buffer.alloc(length, 7)])
const ed25519 = publicJwk(publicKeyOf(privateKeys()[0]?.[1] as never))
const rsa = publicJwk(publicKeyOf(privateKeys()[3]?.[1] as never))

describe('readPublicKey', () => {
  it.each(privateKeys())('%s: is the same key in every form', async (type, privateKey) => {
    const key = publicKeyOf(privateKey)
    const jwk = publicJwk(key)
    const line = openSshPublicKey(key)
    const forms: Parameters<typeof readPublicKey>[0][] = [
      key.keyObject,
      key.keyObject.export({ type: 'spki', format: 'pem' }),
      Buffer.from(key.keyObject.export({ type: 'spki', format: 'pem' })),
      String(key.keyObject.export({ type: 'spki', format: 'pem' })).replaceAll('\n', '\r\n'),
      jwk,
      { ...jwk, use: 'sig', key_ops: ['verify'], kid: 'any' },
      JSON.stringify(jwk, null, 2),
      line,
      `${line} me@example.org with  spaces\r\n`,
      `\ufeff# made in 2026\n\n${line}\n`,
      ...(type === 'rsa' ? [key.keyObject.export({ type: 'pkcs1', format: 'pem' })] : []),
    ]
    for (const form of forms) {
      const { type: readType, keyId, fingerprint } = readPublicKey(form)
      expect({ readType, keyId, fingerprint }).toEqual({
        readType: type,
        keyId: key.keyId,
        fingerprint: key.fingerprint,
      })
    }
    expect(key.keyId).toBe(await calculateJwkThumbprint(jwk as never))
  })

  it('keeps the zero octets at the front of a coordinate', async () => {
    // A coordinate begins with a zero octet once in 128 keys.
    for (let i = 0; i < 400; i++) {
      const key = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
      expect(readPublicKey(openSshPublicKey(key)).keyId).toBe(key.keyId)
      expect(readPublicKey(JSON.stringify(publicJwk(key))).keyId).toBe(key.keyId)
    }
  })

  it('takes the algorithm of a JWK, by its new name', () => {
    expect(readPublicKey({ ...rsa, alg: 'RS256' }).algorithm).toBe('RS256')
    expect(readPublicKey({ ...ed25519, alg: 'EdDSA' }).algorithm).toBe('Ed25519')
    expect(readPublicKey(ed25519).algorithm).toBeUndefined()
  })

  it('refuses a private key in every form, wherever it stands in a text', () => {
    for (const [, key] of privateKeys()) {
      const pem = String(key.export({ type: 'pkcs8', format: 'pem' }))
      const encrypted = String(key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }))
      const jwk = key.export({ format: 'jwk' })
      const publicPem = String(createPublicKey(key).export({ type: 'spki', format: 'pem' }))
      for (const form of [
        key,
        pem,
        encrypted,
        publicPem + pem,
        Buffer.from(`\ufeff${pem}`, 'utf16le'),
        jwk,
        { keys: [{}, jwk] } as JsonWebKey,
        JSON.stringify(jwk),
        `\ufeff ${JSON.stringify({ keys: [jwk] })}`,
        JSON.stringify(jwk).slice(0, -1),
      ]) {
        expect(codeOf(() => readPublicKey(form))).toBe('key-private-in-public-place')
      }
    }
  })

  it('refuses what is not supported, by name', () => {
    const spki = (type: 'x25519' | 'ed448'): string =>
      String(generateKeyPairSync(type as 'x25519').publicKey.export({ type: 'spki', format: 'pem' }))
    const ec = (namedCurve: string): string =>
      String(generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'pem' }))
    const word = (text: string): string => openSshLine(text, Buffer.alloc(40))
    for (const form of [
      createSecretKey(Buffer.alloc(32)),
      spki('x25519'),
      spki('ed448'),
      ec('secp521r1'),
      ec('secp256k1'),
      String(
        generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 }).publicKey.export({
          type: 'spki',
          format: 'pem',
        }),
      ),
      String(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' })),
      '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----',
      { kty: 'oct', k: 'c2VjcmV0' },
      '{"kty":"oct","k":"c2VjcmV0"}',
      { ...ed25519, crv: 'X25519' },
      { kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA' },
      { kty: 'EC', crv: 'Ed25519', x: ed25519.x },
      { kty: 'EC', crv: '__proto__', x: 'AA', y: 'AA' },
      { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AA' },
      { ...rsa, alg: 'RS512' },
      { ...rsa, alg: 'ES256' },
      { ...rsa, alg: 'none' },
      { ...rsa, alg: ['RS256'] },
      { ...ed25519, use: 'enc' },
      { ...ed25519, key_ops: ['sign'] },
      { ...ed25519, key_ops: 'verify' },
      word('ssh-dss'),
      word('ecdsa-sha2-nistp521'),
      word('sk-ssh-ed25519@openssh.com'),
      word('sk-ecdsa-sha2-nistp256@openssh.com'),
      word('ssh-ed25519-cert-v01@openssh.com'),
      word('rsa-sha2-256'),
    ] as Parameters<typeof readPublicKey>[0][]) {
      expect(
        codeOf(() => readPublicKey(form)),
        inspectable(form),
      ).toBe('key-type-unsupported')
    }
  })

  it('refuses what is damaged or something else', () => {
    const line = openSshPublicKey(readPublicKey(ed25519))
    const pem = String(readPublicKey(ed25519).keyObject.export({ type: 'spki', format: 'pem' }))
    const x = ed25519.x as string
    for (const form of [
      '',
      '\n# only a comment\n',
      'hello',
      pem.replace('-----END PUBLIC KEY-----', ''),
      pem + pem,
      pem.slice(0, 50) + pem.slice(54),
      pem.replaceAll('PUBLIC', 'RSA PUBLIC'),
      `${line}\n${line}`,
      `queues="*" ${line}`,
      'ssh-ed25519',
      line.slice(0, -1),
      line.replace('AAAAC3', 'AAAAC4'),
      `${line.split(' ')[0]} ${line.split(' ')[1]}AAAA`,
      line.replace('ssh-ed25519', 'ssh-rsa'),
      Buffer.from('302a300506032b6570032100ff', 'hex'),
      'a'.repeat(70_000),
      '{"kty":"OKP"',
      '[]',
      {},
      { keys: [ed25519] },
      { ...ed25519, x: `${x}=` },
      { ...ed25519, x: `${x.slice(0, -1)}${x.endsWith('B') ? 'C' : 'B'}` },
      { ...ed25519, x: ` ${x}` },
      { ...ed25519, x: Buffer.alloc(31, 7).toString('base64url') },
      { ...ed25519, x: undefined },
      { ...rsa, n: Buffer.concat([Buffer.alloc(1), Buffer.from(rsa.n as string, 'base64url')]).toString('base64url') },
      { ...ed25519, crv: 'P-256', kty: 'EC' },
      7,
      null,
    ] as Parameters<typeof readPublicKey>[0][]) {
      expect(
        codeOf(() => readPublicKey(form)),
        inspectable(form),
      ).toBe('key-malformed')
    }
  })

  it('reads the OpenSSH wire format strictly', () => {
    const n = octets([0x81], 255)
    const e = Buffer.from('010001', 'hex')
    n[255] = 9
    const point = Buffer.from(
      publicKeyOf(privateKeys()[1]?.[1] as never).keyObject.export({ type: 'spki', format: 'der' }),
    ).subarray(-65)
    const nistp256 = sshString('nistp256')
    expect(codeOf(() => readPublicKey(openSshLine('ssh-rsa', sshMpint(e), sshMpint(n))))).toBeUndefined()
    expect(codeOf(() => readPublicKey(openSshLine('ecdsa-sha2-nistp256', nistp256, sshString(point))))).toBeUndefined()
    for (const line of [
      openSshLine('ssh-rsa', sshMpint(e), sshString(n)), // negative
      openSshLine('ssh-rsa', sshString(Buffer.concat([Buffer.alloc(1), e])), sshMpint(n)), // not minimal
      openSshLine('ssh-rsa', sshMpint(e), sshMpint(n), Buffer.alloc(1)),
      openSshLine('ssh-rsa', sshString(''), sshMpint(n)),
      openSshLine('ssh-rsa', sshMpint(e)),
      openSshLine('ssh-rsa', Buffer.from('ffffffff', 'hex')),
      openSshLine('ecdsa-sha2-nistp256', sshString('nistp384'), sshString(point)),
      openSshLine('ecdsa-sha2-nistp256', nistp256, sshString(point.subarray(0, 33))),
      openSshLine('ecdsa-sha2-nistp256', nistp256, sshString(octets([4], 64))), // not on the curve
      openSshLine('ecdsa-sha2-nistp256', nistp256, sshString(Buffer.of(0))),
      openSshLine('ssh-ed25519', sshString(Buffer.alloc(33, 7))),
    ]) {
      expect(codeOf(() => readPublicKey(line))).toBe('key-malformed')
    }
  })

  it('a changed octet of an OpenSSH key is another key or a refusal, never a surprise', () => {
    for (const [, privateKey] of privateKeys()) {
      const key = publicKeyOf(privateKey)
      const [word, base64] = openSshPublicKey(key).split(' ') as [string, string]
      fc.assert(
        fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 255 }), (at, mask) => {
          const blob = Buffer.from(base64, 'base64')
          blob[at % blob.length] = (blob[at % blob.length] as number) ^ mask
          const line = `${word} ${blob.toString('base64')}`
          if (setupErrorOf(() => readPublicKey(line)) === undefined) {
            expect(readPublicKey(line).keyId).not.toBe(key.keyId)
            expect(openSshPublicKey(readPublicKey(line))).toBe(line)
          }
        }),
      )
    }
  })
})

describe('strength', () => {
  it('RSA: 2048 to 8192 bits, an odd modulus, an odd exponent of 65537 or more', () => {
    const key = (bits: number, e: string, last = 9): JsonWebKey => {
      const n = Buffer.alloc(Math.ceil(bits / 8), 0x5a)
      n[0] = 1 << ((bits - 1) % 8)
      n[n.length - 1] = last
      return { kty: 'RSA', n: n.toString('base64url'), e: Buffer.from(e, 'hex').toString('base64url') }
    }
    for (const strong of [
      key(2048, '010001'),
      key(2049, '010001'),
      key(8192, '010001'),
      key(3072, '010000000000000001'),
    ]) {
      expect(codeOf(() => readPublicKey(strong))).toBeUndefined()
    }
    for (const weak of [
      key(1024, '010001'),
      key(2047, '010001'),
      key(8193, '010001'),
      key(2048, '01'),
      key(2048, '03'),
      key(2048, 'ffff'),
      key(2048, '010002'),
      key(2048, '010001', 8),
    ]) {
      expect(codeOf(() => readPublicKey(weak))).toBe('key-too-weak')
    }
  })

  it('RSA: an exponent of many bits, which makes each verification dear, by every way a key comes in', async () => {
    const n = Buffer.alloc(384, 0xa5)
    const jwkWith = (e: Buffer): JsonWebKey => ({ kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') })
    const odd = (bits: number): Buffer => {
      const e = Buffer.alloc(Math.ceil(bits / 8), 0xff)
      e[0] = 0xff >> (e.length * 8 - bits)
      return e
    }
    for (const bits of [17, 32, 64, 72])
      expect(
        codeOf(() => readPublicKey(jwkWith(odd(bits)))),
        `${bits}`,
      ).toBeUndefined()
    const longer = { ...jwkWith(odd(65)), n: Buffer.alloc(512, 0xa5).toString('base64url') }
    expect(codeOf(() => readPublicKey(longer))).toBe('key-too-weak')
    for (const bits of [73, 128, 256, 1024, 3071]) {
      const jwk = jwkWith(odd(bits))
      const keyObject = createPublicKey({ key: jwk, format: 'jwk' })
      const line = openSshLine('ssh-rsa', sshMpint(odd(bits)), sshMpint(n))
      const forms = {
        jwk,
        json: JSON.stringify(jwk),
        keyObject,
        spki: keyObject.export({ type: 'spki', format: 'pem' }),
        pkcs1: keyObject.export({ type: 'pkcs1', format: 'pem' }),
        line,
      }
      for (const [form, key] of Object.entries(forms)) {
        expect(
          codeOf(() => readPublicKey(key)),
          `${bits} ${form}`,
        ).toBe('key-too-weak')
      }
      expect(codeOf(() => AuthorizedKeys.parse(`s queues="q" ${line}`))).toBe('key-too-weak')
      expect(codeOf(() => AuthorizedKeys.fromJwks({ keys: [{ ...jwk, kid: 's' } as JWK] }, { q: ['s'] }))).toBe(
        'key-too-weak',
      )
      await expect(new KeyStore().add('s', forms.spki as string)).rejects.toMatchObject({ code: 'key-too-weak' })
      expect(() => AuthorizedKeys.fromKeyStore({ entries: () => [['s', line]] }, { q: ['s'] })).toThrow(
        expect.objectContaining({ code: 'key-too-weak' }),
      )
    }
  })

  it('Ed25519: none of the fourteen low-order encodings, in any form', () => {
    expect(new Set(LOW_ORDER_POINTS.map((point) => point.toString('hex'))).size).toBe(14)
    for (const point of LOW_ORDER_POINTS) {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }
      const keyObject = createPublicKey({ key: jwk, format: 'jwk' })
      const pem = keyObject.export({ type: 'spki', format: 'pem' })
      for (const form of [jwk, keyObject, pem, openSshLine('ssh-ed25519', sshString(point))]) {
        expect(codeOf(() => readPublicKey(form))).toBe('key-too-weak')
      }
    }
  })

  it('Ed25519: y below p only', () => {
    const p = 2n ** 255n - 19n
    const encoded = (y: bigint): Buffer => Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse()
    for (let offset = 0n; offset < 19n; offset++) {
      const point = encoded(p + offset)
      expect(isCanonicalPoint(point)).toBe(false)
      expect(codeOf(() => readPublicKey(openSshLine('ssh-ed25519', sshString(point))))).toBe(
        offset < 2n ? 'key-too-weak' : 'key-malformed',
      )
    }
    fc.assert(
      fc.property(
        fc.bigInt({ min: 2n, max: p - 2n }),
        (y) => isCanonicalPoint(encoded(y)) && !isLowOrderPoint(encoded(y)),
      ),
    )
  })

  it('ECDSA: the point at infinity, explicit parameters and points beside the curve', () => {
    const der = (hex: string): string =>
      `-----BEGIN PUBLIC KEY-----\n${Buffer.from(hex, 'hex').toString('base64')}\n-----END PUBLIC KEY-----\n`
    const p256 = '301306072a8648ce3d020106082a8648ce3d030107'
    // Asking Node.js 20 for the details of this one aborts the process.
    expect(codeOf(() => readPublicKey(der(`3019${p256}03020000`)))).toBe('key-malformed')
    expect(codeOf(() => readPublicKey(der(`3059${p256}03420004${'07'.repeat(64)}`)))).toBe('key-malformed')
    const explicit = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey
    expect(codeOf(() => readPublicKey(explicit))).toBe('key-type-unsupported')
  })
})

function inspectable(form: unknown): string {
  return typeof form === 'string' ? form.slice(0, 60) : JSON.stringify(form)
}
