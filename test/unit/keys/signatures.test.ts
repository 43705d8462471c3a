import { constants, createHash, createPublicKey, createSecretKey, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { CompactSign, compactVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { ALGORITHMS, type Algorithm, algorithmsFor } from '../../../src/keys/algorithms.ts'
import { isCanonicalPoint, isLowOrderPoint } from '../../../src/keys/edwards-points.ts'
import { publicKeyOf } from '../../../src/keys/public-key.ts'
import { signData, verifyData } from '../../../src/keys/signatures.ts'
import { codeOf, LOW_ORDER_POINTS, privateKeyFor, privateKeys } from './helpers.ts'

const LENGTH: Readonly<Record<Algorithm, number>> = { Ed25519: 64, ES256: 64, ES384: 96, PS256: 384, RS256: 384 }
const DATA = Buffer.from('eyJhbGciOiJFZDI1NTE5In0.eyJpc3MiOiJjaGVja291dCJ9')
const publicFor = (algorithm: Algorithm) => publicKeyOf(privateKeyFor(algorithm)).keyObject

describe('signData and verifyData', () => {
  it('go together for every algorithm with every type of key, and refuse all other pairs', () => {
    for (const algorithm of ALGORITHMS) {
      for (const [type, key] of privateKeys()) {
        const what = `${algorithm} with ${type}`
        const publicKey = createPublicKey(key)
        if (algorithmsFor(type).includes(algorithm)) {
          const signature = signData(algorithm, key, DATA)
          expect(signature.length, what).toBe(LENGTH[algorithm])
          expect(verifyData(algorithm, publicKey, DATA, signature), what).toBe(true)
        } else {
          expect(
            codeOf(() => signData(algorithm, key, DATA)),
            what,
          ).toBe('key-type-unsupported')
          const foreign = signData(algorithm, privateKeyFor(algorithm), DATA)
          expect(verifyData(algorithm, publicKey, DATA, foreign), what).toBe(false)
        }
      }
    }
  })

  it('a signature of one algorithm is none of another, even under one RSA key', () => {
    for (const made of ALGORITHMS) {
      const signature = signData(made, privateKeyFor(made), DATA)
      for (const tried of ALGORITHMS.filter((each) => each !== made)) {
        expect(verifyData(tried, publicFor(made), DATA, signature), `${made} as ${tried}`).toBe(false)
      }
    }
  })

  it('refuse secret keys, public keys for signing, and algorithms outside the set', () => {
    const secret = createSecretKey(Buffer.alloc(64, 1))
    for (const algorithm of ALGORITHMS) {
      expect(codeOf(() => signData(algorithm, secret, DATA))).toBe('key-type-unsupported')
      expect(codeOf(() => signData(algorithm, publicFor(algorithm), DATA))).toBe('key-type-unsupported')
      expect(verifyData(algorithm, secret, DATA, Buffer.alloc(LENGTH[algorithm]))).toBe(false)
    }
    for (const name of ['none', 'HS256', 'EdDSA', 'RS512', '', '__proto__'] as unknown as Algorithm[]) {
      expect(codeOf(() => signData(name, privateKeyFor('Ed25519'), DATA))).toBe('key-type-unsupported')
      expect(verifyData(name, publicFor('Ed25519'), DATA, Buffer.alloc(64))).toBe(false)
    }
  })

  it.each(ALGORITHMS)('%s: one flipped bit in the signature or the data verifies nothing', (algorithm) => {
    const key = privateKeyFor(algorithm)
    const publicKey = publicFor(algorithm)
    const flipped = (bytes: Uint8Array, bit: number): Buffer => {
      const copy = Buffer.from(bytes)
      const index = (bit >> 3) % copy.length
      copy[index] = (copy[index] as number) ^ (1 << (bit & 7))
      return copy
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(100_000), (data, bit) => {
        const signature = signData(algorithm, key, data)
        expect(verifyData(algorithm, publicKey, data, signature)).toBe(true)
        expect(verifyData(algorithm, publicKey, data, flipped(signature, bit))).toBe(false)
        expect(verifyData(algorithm, publicKey, flipped(data, bit), signature)).toBe(false)
      }),
      { numRuns: 50 },
    )
  })

  it.each(ALGORITHMS)('%s: no bytes throw, and no other length verifies', (algorithm) => {
    const publicKey = publicFor(algorithm)
    const signature = signData(algorithm, privateKeyFor(algorithm), DATA)
    const length = signature.length
    for (const bytes of [
      Buffer.alloc(0),
      signature.subarray(1),
      signature.subarray(0, length - 1),
      Buffer.concat([signature, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), signature]),
      Buffer.concat([signature, signature]),
      Buffer.alloc(length, 0x00),
      Buffer.alloc(length, 0xff),
      Buffer.alloc(100_000, 0x30),
    ]) {
      expect(verifyData(algorithm, publicKey, DATA, bytes)).toBe(false)
    }
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 600 }), fc.uint8Array({ minLength: length, maxLength: length })),
        (bytes) => !verifyData(algorithm, publicKey, DATA, bytes),
      ),
    )
  })
})

describe('Ed25519', () => {
  it('refuses each of the fourteen low-order encodings as R, and every other that is not canonical', () => {
    const publicKey = publicFor('Ed25519')
    const signature = signData('Ed25519', privateKeyFor('Ed25519'), DATA)
    const above = Array.from({ length: 19 }, (_, offset) => {
      const point = Buffer.alloc(32, 0xff)
      point[0] = 0xed + offset
      point[31] = offset % 2 === 0 ? 0x7f : 0xff
      return point
    })
    for (const r of [...LOW_ORDER_POINTS, ...above]) {
      // OpenSSL refuses most of these Rs under an honest key as well, so what is asked before it is tested by itself.
      expect(isLowOrderPoint(r) || !isCanonicalPoint(r)).toBe(true)
      expect(verifyData('Ed25519', publicKey, DATA, Buffer.concat([r, signature.subarray(32)]))).toBe(false)
    }
  })

  it('refuses a low-order R under an honest key, which OpenSSL lets pass', () => {
    // Of a key of our own, with the nonce 0: then R is the identity, and S = H(R, A, M) a verifies by RFC 8032.
    const privateKey = privateKeyFor('Ed25519')
    const { x = '', d = '' } = privateKey.export({ format: 'jwk' })
    const publicKey = publicFor('Ed25519')
    const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
    const scalar = createHash('sha512').update(Buffer.from(d, 'base64url')).digest().subarray(0, 32)
    scalar[0] = (scalar[0] as number) & 0xf8
    scalar[31] = ((scalar[31] as number) & 0x7f) | 0x40
    const identity = Buffer.concat([Buffer.of(1), Buffer.alloc(31)])
    const challenge = createHash('sha512').update(identity).update(Buffer.from(x, 'base64url')).update(DATA).digest()
    const order = 2n ** 252n + 27742317777372353535851937790883648493n
    const s = (number(challenge) * number(scalar)) % order
    const signature = Buffer.concat([identity, Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse()])
    // From version 24 on Node.js looks for points of low order itself.
    expect(verify(null, DATA, publicKey, signature)).toBe(Number.parseInt(process.versions.node, 10) < 24)
    expect(verifyData('Ed25519', publicKey, DATA, signature)).toBe(false)
  })

  it('refuses what was made under the identity as the key', () => {
    // S = 0 and R = the identity verify every message then.
    const identity = Buffer.concat([Buffer.of(1), Buffer.alloc(31)])
    const key = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: identity.toString('base64url') },
      format: 'jwk',
    })
    expect(verifyData('Ed25519', key, DATA, Buffer.concat([identity, Buffer.alloc(32)]))).toBe(false)
  })

  it('refuses S + L, the same signature written a second way', () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n
    const signature = signData('Ed25519', privateKeyFor('Ed25519'), DATA)
    const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order
    const wide = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse()
    expect(verifyData('Ed25519', publicFor('Ed25519'), DATA, Buffer.concat([signature.subarray(0, 32), wide]))).toBe(
      false,
    )
  })
})

describe('ECDSA', () => {
  it.each(['ES256', 'ES384'] as const)('%s: converts short r and s both ways as node:crypto does', (algorithm) => {
    const key = privateKeyFor(algorithm)
    const hash = algorithm === 'ES256' ? 'sha256' : 'sha384'
    // Every 128th signature has a leading zero octet in r or s. P-384 is 20 times slower, and shares the code.
    const rounds = algorithm === 'ES256' ? 1000 : 150
    for (let i = 0; i < rounds; i++) {
      const data = Buffer.from(`message ${i}`)
      const ours = signData(algorithm, key, data)
      const theirs = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
      expect(ours.length).toBe(theirs.length)
      expect(verify(hash, data, { key: publicFor(algorithm), dsaEncoding: 'ieee-p1363' }, ours)).toBe(true)
      expect(verifyData(algorithm, publicFor(algorithm), data, theirs)).toBe(true)
    }
  })

  it.each([
    ['ES256', 32, 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'],
    ['ES384', 48, 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'],
  ] as const)('%s: refuses r and s of zero and of the order and above, and DER', (algorithm, size, hex) => {
    const key = publicFor(algorithm)
    const signature = signData(algorithm, privateKeyFor(algorithm), DATA)
    const [r, s] = [signature.subarray(0, size), signature.subarray(size)]
    const order = BigInt(`0x${hex}`)
    const plusOrder = (number: Buffer): Buffer =>
      Buffer.from(
        (BigInt(`0x${number.toString('hex')}`) + order)
          .toString(16)
          .padStart(2 * size, '0')
          .slice(-2 * size),
        'hex',
      )
    for (const bad of [
      Buffer.alloc(size),
      Buffer.from(hex, 'hex'),
      Buffer.alloc(size, 0xff),
      plusOrder(s),
      plusOrder(r),
    ]) {
      expect(verifyData(algorithm, key, DATA, Buffer.concat([r, bad]))).toBe(false)
      expect(verifyData(algorithm, key, DATA, Buffer.concat([bad, s]))).toBe(false)
    }
    const der = sign(algorithm === 'ES256' ? 'sha256' : 'sha384', DATA, privateKeyFor(algorithm))
    expect(verifyData(algorithm, key, DATA, der)).toBe(false)
  })
})

describe('PS256', () => {
  it('wants a salt of exactly 32 octets', () => {
    const key = privateKeyFor('PS256')
    const signed = (saltLength: number): Buffer =>
      sign('sha256', DATA, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
    expect(verifyData('PS256', publicFor('PS256'), DATA, signed(32))).toBe(true)
    for (const saltLength of [0, 20, 31, 33, 64, 350]) {
      expect(verifyData('PS256', publicFor('PS256'), DATA, signed(saltLength)), `${saltLength}`).toBe(false)
    }
  })
})

describe('jose as a second opinion', () => {
  it.each(ALGORITHMS)('%s: each verifies what the other signs', async (algorithm) => {
    const key = privateKeyFor(algorithm)
    const theirs = await new CompactSign(Buffer.from('payload')).setProtectedHeader({ alg: algorithm }).sign(key)
    const dot = theirs.lastIndexOf('.')
    const signature = Buffer.from(theirs.slice(dot + 1), 'base64url')
    expect(verifyData(algorithm, publicFor(algorithm), Buffer.from(theirs.slice(0, dot)), signature)).toBe(true)

    const input = theirs.slice(0, dot)
    const ours = `${input}.${signData(algorithm, key, Buffer.from(input)).toString('base64url')}`
    const { protectedHeader, payload } = await compactVerify(ours, publicFor(algorithm), { algorithms: [algorithm] })
    expect(protectedHeader.alg).toBe(algorithm)
    expect(Buffer.from(payload).toString()).toBe('payload')
  })
})
