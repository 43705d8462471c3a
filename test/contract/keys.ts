import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import { Signer } from '../../src/signer.ts'

/** The services of the suite, and tokens no signer would make. */

export interface Service {
  readonly signer: Signer
  readonly key: KeyObject
}

function service(name: string): Service {
  const { privateKey } = generateKeyPairSync('ed25519')
  return { signer: Signer.fromKey(privateKey, { service: name }), key: privateKey }
}

/** may publish everywhere */
export const shop: Service = service('shop')
/** nobody knows its key */
export const stranger: Service = service('shop')
/** the shop's key under another name */
export const impostor: Signer = Signer.fromKey(shop.key, { service: 'bank' })
export const revoked: Service = service('revoked')
export const future: Service = service('future')
export const past: Service = service('past')
/** may publish to one queue, which is none of the tests' */
export const elsewhere: Service = service('elsewhere')

export const keys: AuthorizedKeys = AuthorizedKeys.parse(
  [
    shop.signer.authorizedKeysLine('**'),
    revoked.signer.authorizedKeysLine('**'),
    future.signer.authorizedKeysLine('**').replace('"**"', '"**",valid-after="2999-01-01"'),
    past.signer.authorizedKeysLine('**').replace('"**"', '"**",valid-before="2001-01-01"'),
    elsewhere.signer.authorizedKeysLine('elsewhere.orders'),
  ].join('\n'),
  { revokedKeys: revoked.signer.fingerprint },
)

export interface Changes {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
}

/** The token with some of it changed, signed again by the same key. */
export function resign(token: string, key: KeyObject, { header, claims }: Changes): string {
  const [shared = '', ...place] = token.split('~')
  const [oldHeader = '', oldClaims = ''] = shared.split('.')
  const input = `${changed(oldHeader, header)}.${changed(oldClaims, claims)}`
  return [`${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`, ...place].join('~')
}

function changed(part: string, changes: Readonly<Record<string, unknown>> = {}): string {
  const object: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
  return Buffer.from(JSON.stringify({ ...(object as object), ...changes })).toString('base64url')
}
