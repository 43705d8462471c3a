import { acrossBuilds } from '../across-builds.ts'
import { SetupError } from '../errors.ts'

/** Makes and checks tokens. {@link JwsAdapter} is one; an application may bring its own. */
export interface JwtService {
  /** A token that says "I am `keyName`", signed with the private key. */
  generate(keyName: string, privateKey: string | Uint8Array): Promise<string>
  /**
   * The name a token claims, for finding the key to check it with: nothing about it is verified. Null for whatever is
   * not a token; it must not throw.
   */
  keyName(token: unknown): string | null
  /** Whether the token was signed by the owner of the public key and is valid now. */
  verify(token: string, publicKey: string | Uint8Array): Promise<boolean>
}

/** Where keys come from. {@link KeyStore} is one; an application may bring its own. */
export interface KeyLookup {
  /**
   * The public key of a service, or null when it is unknown. The name comes from a token that nobody has checked yet:
   * a source that turns it into a path or a query must treat it as hostile.
   */
  get(name: string): Promise<string | Uint8Array | null>
  /** This service's private key; rejects when there is none. */
  getPrivate(): Promise<string | Uint8Array>
}

/**
 * Says who is calling, between services that hold each other's public keys: one makes a token with its private key,
 * the other checks it against the key it has for that name.
 *
 * The token is not bound to a message or a receiver: whoever sees it can use it until it expires. Messages on a queue
 * want a `Signer` and a `Verifier`.
 */
export class JwtKeyAuth {
  static {
    acrossBuilds(JwtKeyAuth, 'JwtKeyAuth')
  }

  readonly #jwtService: JwtService
  readonly #keyStore: KeyLookup

  constructor(jwtService: JwtService, keyStore: KeyLookup) {
    this.#jwtService = jwtService
    this.#keyStore = keyStore
  }

  /**
   * A token for this service under the name that receivers know its public key by.
   *
   * @throws SetupError `service-invalid` for a name that is empty or too long, `key-missing` without a private key
   */
  async generate(name: string): Promise<string> {
    if (typeof name !== 'string' || name === '') {
      throw new SetupError('service-invalid', 'generate() needs the name of this service, a string that is not empty')
    }
    return this.#jwtService.generate(name, await this.#keyStore.getPrivate())
  }

  /**
   * Whether a token is from a service whose key is in the store. False for anything else at all, be it no string.
   *
   * Rejects only for a fault on this side, which is no verdict on the token: the store's own error when the store
   * fails, and `SetupError` when the key it gives is unreadable or too weak.
   */
  async verify(token: unknown): Promise<boolean> {
    const name = this.#jwtService.keyName(token)
    if (name === null) return false
    const publicKey = await this.#keyStore.get(name)
    if (publicKey === null || publicKey === undefined) return false
    return this.#jwtService.verify(token as string, publicKey)
  }
}
