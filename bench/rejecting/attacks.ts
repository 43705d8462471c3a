import type { HeaderValue, ReceivedMessage, Signer, Verifier } from '../../src/index.ts'
import { DESTINATION, QUEUE } from '../tokens/messages.ts'

/** A message that somebody sends without a key of their own, made to be as dear to reject as its kind can be. */
export interface Attack {
  readonly name: string
  /** what it must be rejected for */
  readonly code: string
  readonly verifier: Verifier
  readonly received: ReceivedMessage
  /** its size is what makes it dear: the valid message it is compared with has a body of as many octets */
  readonly octets?: number
  /** how many members its table has, which the client has put in it before: that is compared with, too */
  readonly members?: number
}

export const BODY = Buffer.alloc(1024, '{"order":1}')
const HEADERS = { tenant: 'acme' }
const PROPERTIES = { contentType: 'application/json' }
const MAX_TOKEN = 8192

export function receivedWith(token: unknown, overrides: Partial<ReceivedMessage> = {}): ReceivedMessage {
  const plain = { queue: QUEUE, deliveredBy: [DESTINATION], payload: BODY, properties: PROPERTIES, headers: HEADERS }
  return { ...plain, token, ...overrides }
}

/** What a producer sends: the valid message that all others are compared with, and what an attacker has captured. */
export function sign(signer: Signer, payload: Buffer = BODY): string {
  return signer.sign({ destination: DESTINATION, payload, properties: PROPERTIES, headers: HEADERS })
}

const encode = (text: string): string => Buffer.from(text).toString('base64url')
const fill = (text: string): string => text.repeat(Math.ceil(MAX_TOKEN / text.length)).slice(0, MAX_TOKEN)

/** Tokens of garbage: nothing of them is known to the verifier. */
export function garbage(signer: Signer, verifier: Verifier): Attack[] {
  const [header = '', claims = '', signature = ''] = sign(signer).split('.')
  const room = MAX_TOKEN - header.length - signature.length - 2
  const claimsOf = (text: string): string => `${header}.${encode(text).slice(0, room)}.${signature}`
  const json = (text: string): string => text.slice(0, Math.floor((room * 3) / 4) - 8)
  const unknown = encode(`{"alg":"Ed25519","typ":"queueauth-v1+jwt","kid":"${'A'.repeat(43)}"}`)
  const longAlg = encode(`{"alg":"${'x'.repeat(5500)}","typ":"queueauth-v1+jwt","kid":"${signer.keyId}"}`)
  const names = Array.from({ length: 32 }, (_, n) => `x-${String(n).padStart(3, '0')}-${'n'.repeat(120)}`)
  const tokens: [string, unknown, string?][] = [
    ['no token', undefined, 'token-missing'],
    ['a few characters', 'garbage'],
    ['8 KiB of one letter', fill('A')],
    ['8 KiB of dots', fill('.')],
    ['8 KiB of tildes', fill('~')],
    ['8 KiB of quotes', fill('"')],
    ['8 KiB of percent signs', fill('%41')],
    ['8 KiB of hexadecimal', fill('65')],
    ['a token in base64, three times', [1, 2, 3].reduce((text) => Buffer.from(text).toString('base64'), sign(signer))],
    ['8 KiB of NULs', fill('\0')],
    ['10 MiB', 'A'.repeat(10 * 1024 * 1024), 'token-oversize'],
    ['10 MiB of bytes', Buffer.alloc(10 * 1024 * 1024, 'A'), 'token-oversize'],
    ['1,000 tokens', new Array(1000).fill(sign(signer)), 'token-duplicated'],
    ['claims of 6 KiB, nested', claimsOf(`{"a":${'['.repeat(2500)}${']'.repeat(2500)}}`)],
    [
      'claims of 6 KiB, 900 members',
      claimsOf(
        `${json(
          Array.from({ length: 900 }, (_, n) => `"${n + 1000}":1`)
            .join(',')
            .replace(/^/, '{'),
        )}}`,
      ),
    ],
    ['claims of 6 KiB, a member 800 times', claimsOf(`{${new Array(800).fill('"iss":1').join(',')}}`)],
    ['claims of 6 KiB, white space', claimsOf(`{${' '.repeat(5500)}}`)],
    ['claims of 6 KiB, one long text', claimsOf(`{"iss":"${'a'.repeat(5500)}"}`)],
    [
      '32 long names of headers',
      claimsOf(
        `{"iss":"a","aud":"a:b","iat":1,"jti":"${'A'.repeat(22)}","bh":null,"hh":"${'A'.repeat(43)}","hs":${JSON.stringify(names)}}`,
      ),
      'signature-invalid',
    ],
    ['an unknown key', `${unknown}.${claims}.${signature}`, 'key-unknown'],
    ['an algorithm with a name of 5 KiB', `${longAlg}.${claims}.${signature}`, 'alg-not-allowed'],
    ['a signature of 7 KiB', `${header}.${claims}.${'A'.repeat(7000)}`, 'signature-invalid'],
    ['a place in a batch of 7 KiB behind it', `${header}.${claims}.${signature}~1023~${'A'.repeat(7000)}`],
  ]
  return tokens.map(([name, token, code = 'token-malformed']) => ({
    name,
    code,
    verifier,
    received: receivedWith(token),
  }))
}

/** A known key, and a signature that is not its own. */
export function forged(name: string, signer: Signer, verifier: Verifier): Attack {
  const token = sign(signer)
  const at = token.lastIndexOf('.') + 12
  const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
  return { name: `a bad signature, ${name}`, code: 'signature-invalid', verifier, received: receivedWith(changed) }
}

/** Puts members in a table one by one, as a client does that reads one. */
export function readTable(count: number): Record<string, HeaderValue> {
  const table: Record<string, HeaderValue> = {}
  for (let n = 0; n < count; n++) table[`member-${n}`] = n
  return table
}

const members = readTable

/** A captured token that is good, and another message under it. */
export function captured(name: string, token: string, verifier: Verifier): Attack[] {
  const batch = token.includes('~')
  const changed = batch ? 'proof-invalid' : 'headers-mismatch'
  const nested = Array.from({ length: 16 }).reduce<HeaderValue>((inner) => ({ inner }), 'x')
  const tenants: [string, HeaderValue, string?, (number | undefined)?, number?][] = [
    ['another text', 'other', changed],
    ['a table of 508 members', members(508)],
    [
      'a table of 508 members beyond ASCII',
      Object.fromEntries(Array.from({ length: 508 }, (_, n) => [`\u{1f600}${n}`, n])),
    ],
    [
      'a table of 500 members that begin alike',
      Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`${'n'.repeat(2000)}${n}`, n])),
      changed,
      1_048_000,
    ],
    ['a list of 508 texts', new Array(508).fill('x'), changed],
    ['16 tables within each other', nested, changed],
    ['a table of 30,000 members', members(30_000), 'headers-mismatch', undefined, 30_000],
    ['a list of 30,000 items', new Array(30_000).fill('x')],
    ['300 tables of 100 members', Array.from({ length: 300 }, () => members(100))],
    ['text of 1 MiB', 'x'.repeat(1_048_000), changed, 1_048_000],
    ['text of 1 MiB beyond ASCII', '\u20ac'.repeat(349_000), changed, 1_048_000],
    ['bytes of 1 MiB', new Uint8Array(1_048_000), changed, 1_048_000],
    ['text of 10 MiB', 'x'.repeat(10 * 1024 * 1024), 'headers-mismatch', 10 * 1024 * 1024],
  ]
  return [
    {
      name: `${name}: another body`,
      code: batch ? 'proof-invalid' : 'body-mismatch',
      verifier,
      received: receivedWith(token, { payload: Buffer.alloc(1024) }),
    },
    {
      name: `${name}: a body of 1 MiB`,
      code: batch ? 'proof-invalid' : 'body-mismatch',
      verifier,
      received: receivedWith(token, { payload: Buffer.alloc(2 ** 20) }),
      octets: 2 ** 20,
    },
    ...tenants.map(
      ([what, tenant, code = what.includes('508 members') ? changed : 'headers-mismatch', octets, count]) => ({
        name: `${name}: its header is ${what}`,
        code,
        verifier,
        received: receivedWith(token, { headers: { tenant } }),
        ...(octets !== undefined && { octets }),
        ...(count !== undefined && { members: count }),
      }),
    ),
    {
      name: `${name}: 1,023 more headers, a queueauth-* last`,
      code: 'headers-mismatch',
      verifier,
      received: receivedWith(token, { headers: { ...HEADERS, ...members(1022), 'queueauth-x': 1 } }),
    },
    {
      name: `${name}: 30,000 more headers`,
      code: 'headers-mismatch',
      verifier,
      received: receivedWith(token, { headers: { ...HEADERS, ...members(30_000) } }),
      members: 30_000,
    },
    {
      name: `${name}: a property of 1 MiB`,
      code: changed,
      verifier,
      received: receivedWith(token, { properties: { ...PROPERTIES, type: 'x'.repeat(1_048_000) } }),
      octets: 1_048_000,
    },
  ]
}

/** The token of a batch, captured, with other places behind it. */
export function misplaced(token: string, verifier: Verifier): Attack[] {
  const [jws = '', index = '', tail = ''] = token.split('~')
  const path = Buffer.from(tail, 'base64url')
  const longest = Math.floor(((MAX_TOKEN - jws.length - 6) * 3) / 4 / 32) * 32 - 32
  const longestPath = Buffer.concat([path.subarray(0, 16), Buffer.alloc(longest)])
  const places: [string, Buffer][] = [
    ['another path', Buffer.concat([path.subarray(0, 16), Buffer.alloc(path.length - 16)])],
    ['the last sibling changed', Buffer.concat([path.subarray(0, -1), Buffer.of(1)])],
    ['a path that fills 8 KiB', longestPath],
  ]
  const attacks = places.map(([name, place]) => [name, `${jws}~${index}~${place.toString('base64url')}`] as const)
  const at = jws.lastIndexOf('.') + 12
  const badJws = `${jws.slice(0, at)}${jws[at] === 'A' ? 'B' : 'A'}${jws.slice(at + 1)}`
  return [
    ...attacks.map(([name, forgery]) => ({
      name: `batch: ${name}`,
      code: 'proof-invalid',
      verifier,
      received: receivedWith(forgery),
    })),
    {
      name: 'batch: a bad signature, 8 KiB of path',
      code: 'signature-invalid',
      verifier,
      received: receivedWith(`${badJws}~${index}~${longestPath.toString('base64url')}`),
    },
  ]
}
