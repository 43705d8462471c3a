import { hash, type KeyObject, sign, verify } from 'node:crypto'
import { signSync, verifySync } from '@node-rs/jsonwebtoken'
import { createSigner, createVerifier } from 'fast-jwt'
import { CompactSign, compactVerify } from 'jose'
import type { Message } from '../../src/index.ts'
import type { Algorithm } from '../../src/keys/algorithms.ts'
import { DESTINATION } from './messages.ts'

/** What others do with the same claims, a digest of the body among them. */

/** Where it answers with promises, tokens can be worked on one by one or many at a time. */
export interface Library {
  readonly name: string
  sign(message: Message): string | Promise<string>
  verify(token: string, message: Message): void | Promise<void>
}

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** Characters of a token that are signed: a usual length. */
export const INPUT = Buffer.alloc(420, 'x')

/** The signature alone, of a text as long as a token: what no library can do without. */
export function nodeCrypto(algorithm: Algorithm, { privateKey, publicKey }: KeyPair): Library {
  const digest = algorithm === 'Ed25519' ? null : 'sha256'
  const signature = sign(digest, INPUT, privateKey)
  return {
    name: 'node:crypto',
    sign: () => {
      sign(digest, INPUT, privateKey)
      return ''
    },
    verify: () => {
      if (!verify(digest, INPUT, publicKey, signature)) throw new Error('the benchmark is broken')
    },
  }
}

export function jose(algorithm: Algorithm, { privateKey, publicKey }: KeyPair): Library {
  return {
    name: 'jose',
    sign: (message) =>
      new CompactSign(Buffer.from(JSON.stringify(claimsOf(message))))
        .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
        .sign(privateKey),
    verify: async (token, message) => {
      const { payload } = await compactVerify(token, publicKey)
      checkBody(JSON.parse(Buffer.from(payload).toString()), message)
    },
  }
}

export function fastJwt(algorithm: Algorithm, pair: KeyPair): Library {
  const { privatePem, publicPem } = pemOf(pair)
  const name = joseNameOf(algorithm)
  const signToken = createSigner({ algorithm: name, key: privatePem, noTimestamp: true })
  const verifyToken = createVerifier({ key: publicPem, algorithms: [name], cache: false })
  return {
    name: 'fast-jwt',
    sign: (message) => signToken(claimsOf(message)),
    verify: (token, message) => checkBody(verifyToken(token), message),
  }
}

export function nodeRs(algorithm: Algorithm, pair: KeyPair): Library {
  const { privatePem, publicPem } = pemOf(pair)
  // Its enumeration cannot be imported by files that are compiled one by one; its values are the names.
  const name = joseNameOf(algorithm) as never
  const checks = { algorithms: [name], aud: [DESTINATION], requiredSpecClaims: [], validateExp: false }
  return {
    name: '@node-rs/jsonwebtoken',
    sign: (message) => signSync(claimsOf(message), privatePem, { algorithm: name }),
    verify: (token, message) => checkBody(verifySync(token, publicPem, checks), message),
  }
}

function claimsOf({ payload }: Message): Record<string, unknown> {
  return {
    iss: 'checkout',
    aud: DESTINATION,
    iat: Math.floor(Date.now() / 1000),
    jti: 'AAAAAAAAAAAAAAAAAAAAAA',
    bh: hash('sha256', payload as Uint8Array, 'base64url'),
  }
}

function checkBody(claims: { bh?: unknown }, { payload }: Message): void {
  if (claims.bh !== hash('sha256', payload as Uint8Array, 'base64url')) throw new Error('the benchmark is broken')
}

function joseNameOf(algorithm: Algorithm): 'EdDSA' | 'ES256' | 'RS256' {
  return algorithm === 'Ed25519' ? 'EdDSA' : (algorithm as 'ES256' | 'RS256')
}

function pemOf({ privateKey, publicKey }: KeyPair): { privatePem: string; publicPem: string } {
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  }
}
