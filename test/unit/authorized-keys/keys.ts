import { generateKeyPairSync } from 'node:crypto'
import { generatePrivateKey } from '../../../src/keys/generate.ts'
import { openSshBlob } from '../../../src/keys/openssh-public.ts'
import { openSshPublicKey, type PublicKey, publicKeyOf } from '../../../src/keys/public-key.ts'

/** A key pair as the tests write it into files. */
export interface TestKey {
  readonly publicKey: PublicKey
  /** `ssh-ed25519 AAAA…` */
  readonly line: string
  readonly privatePem: string
}

export function testKey(algorithm: Parameters<typeof generatePrivateKey>[0] = 'Ed25519'): TestKey {
  const privateKey = generatePrivateKey(algorithm)
  const publicKey = publicKeyOf(privateKey)
  const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { publicKey, line: openSshPublicKey(publicKey), privatePem }
}

/** An RSA key of 1024 bits, as an OpenSSH line: well-formed, and too weak to be allowed. */
export function weakRsaLine(): string {
  const jwk = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
  return `ssh-rsa ${openSshBlob('rsa', jwk).toString('base64')}`
}
