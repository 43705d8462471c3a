import type { RejectCode } from '../../src/reasons.ts'
import type { Signer } from '../../src/signer.ts'
import type { Features, Harness, TestMessage } from './harness.ts'
import { type Changes, elsewhere, future, impostor, past, resign, revoked, shop, stranger } from './keys.ts'
import { paired } from './paired.ts'

/** A message for every reason that one token can have. */
export interface Forgery {
  readonly code: RejectCode
  /** what the dead letter may say of the signer */
  readonly names: 'nobody' | 'the key' | 'the service'
  readonly service: string
  readonly fingerprint: string
  readonly needs?: keyof Features
  /** the messages to publish; the last one is to be rejected, those before it are good */
  make(destination: string): TestMessage[]
}

/** Not UTF-8, so that it survives as bytes only. */
const payload = Buffer.from('forged \xff\xfe\x80\x00', 'latin1')
const twice = Buffer.from('a'.repeat(16)).toString('base64url')
const now = (): number => Math.floor(Date.now() / 1000)

/** One for every code that a token can have: alone, or as one of a batch. */
export function forgeries(
  { batch = false, signedForm = (message) => message }: Harness,
  features: Features,
): Forgery[] {
  const as = (signer: Signer): Signer => (batch ? paired(signer) : signer)
  const properties = Object.fromEntries(features.properties.slice(0, 1).map((name) => [name, 'order']))
  const content: TestMessage = { payload, headers: { 'x-foreign': 'kept' }, properties }

  function signed(destination: string, signer: Signer = shop.signer): TestMessage {
    return withToken(as(signer).sign({ destination, ...signedForm(content) }))
  }

  function withToken(token: TestMessage['headers'] | unknown): TestMessage {
    return { ...content, headers: { ...content.headers, queueauth: token as string } }
  }

  /** Signed by the shop, with another header or other claims. */
  function altered(destination: string, changes: Changes): TestMessage {
    return withToken(resign(as(shop.signer).sign({ destination, ...signedForm(content) }), shop.key, changes))
  }

  function forgery(
    code: RejectCode,
    names: Forgery['names'],
    make: (destination: string) => TestMessage | TestMessage[],
    extra: { by?: Signer; needs?: keyof Features } = {},
  ): Forgery {
    const { by = shop.signer, needs } = extra
    const { service, fingerprint } = by
    return { code, names, service, fingerprint, make: (to) => [make(to)].flat(), ...(needs && { needs }) }
  }

  function byService(code: RejectCode, signer: Signer, names: Forgery['names'] = 'the service'): Forgery {
    return forgery(code, names, (destination) => signed(destination, signer), { by: signer })
  }

  function byClaims(code: RejectCode, claims: () => Record<string, unknown>): Forgery {
    return forgery(code, 'the service', (destination) => altered(destination, { claims: claims() }))
  }

  return [
    forgery('token-missing', 'nobody', () => content),
    forgery(
      'token-duplicated',
      'nobody',
      (to) => withToken([as(shop.signer).sign({ destination: to, ...signedForm(content) }), 'x']),
      {
        needs: 'repeatedHeaders',
      },
    ),
    forgery('token-oversize', 'nobody', () => withToken('a'.repeat(8193))),
    forgery('token-malformed', 'nobody', () => withToken('not a token')),
    forgery('version-unsupported', 'nobody', (to) => altered(to, { header: { typ: 'queueauth-v2+jwt' } })),
    byService('key-unknown', stranger.signer, 'nobody'),
    byService('key-revoked', revoked.signer, 'nobody'),
    forgery('alg-not-allowed', 'nobody', (to) => altered(to, { header: { alg: 'HS256' } })),
    forgery('signature-invalid', 'nobody', (to) => {
      const token = as(shop.signer).sign({ destination: to, ...signedForm(content) })
      return withToken(token.replace(/\.[^.~]*(?=~|$)/, `.${Buffer.alloc(64, 1).toString('base64url')}`))
    }),
    byService('service-mismatch', impostor, 'the key'),
    byService('queue-not-authorized', elsewhere.signer),
    byService('key-not-yet-valid', future.signer),
    byService('key-expired', past.signer),
    forgery('destination-mismatch', 'the service', (to) => signed(`${to}-other`)),
    byClaims('age-exceeded', () => ({ iat: now() - 604_801 })),
    byClaims('issued-in-future', () => ({ iat: now() + 120 })),
    byClaims('message-expired', () => ({ exp: now() - 1 })),
    forgery(batch ? 'proof-invalid' : 'body-mismatch', 'the service', (to) => ({
      ...signed(to),
      payload: Buffer.from('forged: another body'),
    })),
    forgery(batch && !features.headersInBody ? 'proof-invalid' : 'headers-mismatch', 'the service', (to) => {
      const message = signed(to)
      const planted = features.headersInBody ? { 'queueauth-reason': 'planted' } : { 'x-foreign': 'changed' }
      return { ...message, headers: { ...message.headers, ...planted } }
    }),
    forgery('token-id-reused', 'the service', (to) => {
      const good = { payload: Buffer.from('good'), headers: {} }
      const token = resign(as(shop.signer).sign({ destination: to, ...signedForm(good) }), shop.key, {
        claims: { jti: twice },
      })
      return [{ ...good, headers: { queueauth: token } }, altered(to, { claims: { jti: twice } })]
    }),
  ]
}
