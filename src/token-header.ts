import { parseStrictObject } from './compact-jws.ts'
import {
  describeDisguise,
  describeMembers,
  describePart,
  describeValue,
  fault,
  HEADER_PART,
  malformed,
  type TokenFault,
} from './token-faults.ts'

/** The JOSE header of a token (RFC 7515, section 4), a closed set of three members. */

/** 32 bytes in base64url: the last character carries four bits, so its low two are zero. */
export const DIGEST: RegExp = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

const UNKNOWN_VERSION = /^queueauth-(?:batch-)?v/

/** The members of the protected header: all there are. */
export interface JoseHeader {
  readonly alg: string
  readonly typ: string
  readonly kid: string
}

/** The most JOSE headers that are remembered. There is one for each key that signs, and each kind of token. */
const MAX_KNOWN_HEADERS = 1024

/** Longer than any header of an algorithm there is: others are read and forgotten, since anyone can make them up. */
const MAX_KNOWN_HEADER_LENGTH = 256

/** Reads headers, and remembers those it has read. */
export class HeaderReader {
  readonly #known = new Map<string, JoseHeader>()
  readonly #types: readonly string[]

  /** @param types what `typ` can be: of one message, and of a batch */
  constructor(types: readonly string[]) {
    this.#types = types
  }

  /** @param text the whole token, to tell what it looks like */
  read(part: string, text: string): JoseHeader | TokenFault {
    const known = this.#known.get(part)
    if (known !== undefined) return known
    const header = parseHeader(part, text, this.#types)
    if ('code' in header || part.length > MAX_KNOWN_HEADER_LENGTH) return header
    if (this.#known.size >= MAX_KNOWN_HEADERS) this.#known.clear()
    this.#known.set(part, header)
    return header
  }
}

const HEADER_NAMES = ['alg', 'typ', 'kid'] as const

function parseHeader(part: string, text: string, types: readonly string[]): JoseHeader | TokenFault {
  const header = parseStrictObject(part)
  if (header === undefined) return malformed(describeDisguise(text) ?? describePart(HEADER_PART, part, HEADER_NAMES))
  const { alg, typ, kid } = header
  if (typeof typ === 'string' && UNKNOWN_VERSION.test(typ) && !types.includes(typ)) {
    return fault('version-unsupported', 'the token is of a version this verifier does not know; update queue-key-auth')
  }
  if (Object.keys(header).length !== HEADER_NAMES.length) {
    return malformed(describeMembers('header member', header, HEADER_NAMES, []) ?? 'its header is not alg, typ and kid')
  }
  if (typeof typ !== 'string') return malformed(describeValue('typ', typ, `the text ${types[0]}`))
  if (typeof alg !== 'string' || alg === '') return malformed(describeValue('alg', alg, 'the name of an algorithm'))
  if (typeof kid !== 'string' || !DIGEST.test(kid)) {
    return malformed(describeValue('kid', kid, 'the RFC 7638 SHA-256 thumbprint of the key, 43 characters'))
  }
  return { alg, typ, kid }
}
