import type { KeyObject } from 'node:crypto'
import { acrossBuilds } from '../across-builds.ts'
import { SetupError, type SourcePosition } from '../errors.ts'
import { keyError } from '../keys/key-error.ts'
import { readPrivateKey } from '../keys/private-key.ts'
import { readPublicKey } from '../keys/public-key.ts'
import { quote } from '../text.ts'
import type { KeyLookup } from './jwt-key-auth.ts'

export interface PassphraseOption {
  /** opens an encrypted private key */
  readonly passphrase?: string | Uint8Array
}

/** A public key that was read and found good. */
export interface CheckedKey {
  readonly name: string
  readonly key: Buffer
  /** where it stands, for errors */
  readonly position?: SourcePosition
}

/**
 * Public keys by service name, one key a name, and this service's own private key. Keys are read and checked when they
 * are added, in any form that `Signer` and `AuthorizedKeys` read.
 */
export class KeyStore implements KeyLookup {
  static {
    acrossBuilds(KeyStore, 'KeyStore')
  }

  readonly #publicKeys = new Map<string, Buffer>()
  #privateKey: Buffer | undefined

  /**
   * Adds the public key of a service. Any name that is not empty will do here; one that is to go into a queue's
   * policy must fit the grammar of `iss` (docs/spec.md) as well.
   *
   * @throws SetupError `service-invalid`, `key-duplicate` when the name is taken, `key-private-in-public-place`, and
   *   `key-*` for a key that cannot be read or is too weak
   */
  async add(name: string, publicKey: string | Uint8Array): Promise<void> {
    this.addChecked([{ name, key: checkedPublicKey(publicKey) }])
  }

  /**
   * Sets the private key; `passphrase` opens an encrypted PKCS#8 key.
   *
   * @throws SetupError `key-duplicate` when there is one already, and `key-*` for a key that cannot be read or is too weak
   */
  async addPrivate(privateKey: string | Uint8Array, options: PassphraseOption = {}): Promise<void> {
    this.setPrivate(readPrivateKey(bytesOf(privateKey), options))
  }

  /** The public key of a service as it was added; null when there is none under that name. */
  async get(name: string): Promise<Buffer | null> {
    const key = this.#publicKeys.get(name)
    return key === undefined ? null : Buffer.from(key)
  }

  /**
   * The private key as PKCS#8 PEM, not encrypted.
   *
   * @throws SetupError `key-missing` when there is none
   */
  async getPrivate(): Promise<Buffer> {
    if (this.#privateKey === undefined) {
      throw new SetupError('key-missing', 'there is no private key: call addPrivate() or addPrivateKeyFile() first')
    }
    return Buffer.from(this.#privateKey)
  }

  /** Every service and its public key, for `AuthorizedKeys.fromKeyStore`. */
  *entries(): IterableIterator<readonly [name: string, key: Buffer]> {
    for (const [name, key] of this.#publicKeys) yield [name, Buffer.from(key)]
  }

  /** Adds all of them or, when a name will not do, none. */
  protected addChecked(keys: readonly CheckedKey[]): void {
    for (const { name, position } of keys) {
      if (typeof name !== 'string' || name === '') {
        throw new SetupError(
          'service-invalid',
          'a public key needs the name of its service, a string that is not empty',
        )
      }
      if (this.#publicKeys.has(name)) {
        throw keyError('key-duplicate', `${quote(name)} has a public key already, and a name has one`, position)
      }
    }
    for (const { name, key } of keys) this.#publicKeys.set(name, key)
  }

  protected setPrivate(key: KeyObject): void {
    if (this.#privateKey !== undefined) {
      throw new SetupError('key-duplicate', 'there is a private key already: a store holds one')
    }
    this.#privateKey = Buffer.from(key.export({ type: 'pkcs8', format: 'pem' }))
  }
}

/** A copy of a public key that was read and found good. */
export function checkedPublicKey(publicKey: string | Uint8Array, position?: SourcePosition): Buffer {
  const key = bytesOf(publicKey)
  readPublicKey(key, position)
  return key
}

function bytesOf(key: string | Uint8Array): Buffer {
  if (typeof key === 'string') return Buffer.from(key)
  if (key instanceof Uint8Array) return Buffer.from(key)
  throw new SetupError('key-malformed', 'a key is given as the content of its file: a string or a Buffer')
}
