import type { RejectCode } from './reasons.ts'

/**
 * What is wrong with a token that cannot be read, for people: the offence and its place. Nothing of the token is quoted,
 * since nothing of it is verified. Only names that are in a list here or in token.ts are named.
 */

/** Why a token header cannot be read. */
export interface TokenFault {
  readonly code: RejectCode
  readonly detail: string
}

export function malformed(detail: string): TokenFault {
  return fault('token-malformed', `the token cannot be read: ${detail}`)
}

export function fault(code: RejectCode, detail: string): TokenFault {
  return { code, detail }
}

/** A compact JWS, and the place in a batch that may stand behind it. */
const TOKEN_SHAPE = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:~[0-9]{1,4}~[A-Za-z0-9_-]+)?$/

/** What hops and converters do to a header, and how it is undone: undefined where it was not done. */
const DISGUISES: readonly (readonly [what: string, undo: (text: string) => string | undefined])[] = [
  [
    'with a byte order mark before it',
    (text) =>
      /^(?:\ufeff|\u00ef\u00bb\u00bf)/.test(text) ? text.replace(/^(?:\ufeff|\u00ef\u00bb\u00bf)/, '') : undefined,
  ],
  ['with white space or a line end before or behind it', (text) => (text.trim() === text ? undefined : text.trim())],
  [
    'as UTF-16, with a NUL beside each character',
    (text) => {
      const plain = text.replace(/^\u00ff\u00fe|^\u00fe\u00ff/, '')
      return /^(?:(?:[^\0]\0)+|(?:\0[^\0])+)$/.test(plain) ? plain.replaceAll('\0', '') : undefined
    },
  ],
  [
    'in quotes as they are printed',
    (text) =>
      /^(?:[\u2018-\u201f]|\u00e2\u0080[\u0098-\u009f])([!-~]*)(?:[\u2018-\u201f]|\u00e2\u0080[\u0098-\u009f])$/.exec(
        text,
      )?.[1],
  ],
  // Every token begins with the base64url of `{"`.
  [
    'behind octets that are no text, such as a length or the id of a schema',
    (text) => /^(?=.{0,15}[^ -~])(?:.{1,16}?)(eyJ.*)$/s.exec(text)?.[1],
  ],
  ['with octets behind it that are no text', (text) => /^(eyJ[!-~]*)[^ -~]{1,16}$/.exec(text)?.[1]],
  [
    'in quotes, as a JSON text is written',
    (text) => /^"([^"]*)"$/.exec(text)?.[1] ?? /^\\"([^"]*)\\"$/.exec(text)?.[1],
  ],
  ['in quotes', (text) => /^'([^']*)'$/.exec(text)?.[1] ?? /^`([^`]*)`$/.exec(text)?.[1]],
  [
    'in quotes behind a b, as Python writes bytes',
    (text) => /^b'([^']*)'$/.exec(text)?.[1] ?? /^b"([^"]*)"$/.exec(text)?.[1],
  ],
  ['behind a word such as Bearer', (text) => /^[A-Za-z][A-Za-z0-9-]{0,30}[ :=]\s*(\S+)$/.exec(text)?.[1]],
  ['in brackets, as a list of one', (text) => /^\[(.*)\]$/.exec(text)?.[1] ?? /^<(.*)>$/.exec(text)?.[1]],
  ['URL-encoded, with % in it', (text) => (text.includes('%') ? percentDecoded(text) : undefined)],
  [
    'in hexadecimal',
    (text) =>
      /^(?:0x|\\x)?(?:[0-9A-Fa-f]{2})+$/.test(text)
        ? Buffer.from(text.replace(/^(?:0x|\\x)/, ''), 'hex').toString('latin1')
        : undefined,
  ],
  [
    'encoded in base64 once more',
    (text) =>
      /^[A-Za-z0-9+/_-]+={0,2}$/.test(text.replace(/\s/g, ''))
        ? Buffer.from(text, 'base64').toString('latin1')
        : undefined,
  ],
]

/** Some converters are used one after the other. */
const MOST_DISGUISES = 3

/** A token that something on the way wrapped or encoded again; undefined where that is not what it looks like. */
export function describeDisguise(text: string): string | undefined {
  const found: string[] = []
  let inner = text
  while (found.length < MOST_DISGUISES) {
    const step = DISGUISES.map(([what, undo]) => [what, undo(inner)] as const).find(
      ([, undone]) => undone !== undefined,
    )
    if (step?.[1] === undefined) return undefined
    found.push(step[0])
    inner = step[1]
    if (TOKEN_SHAPE.test(inner)) return `it looks like a token ${found.join(', then ')}`
  }
  return undefined
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    // A % that begins no octet: it is not URL-encoded.
    return undefined
  }
}

const MOST_PARTS = 7
const MOST_LEVELS = 16

/** What the parts are called. */
export const HEADER_PART = 'part 1 (the header)'
export const CLAIMS_PART = 'part 2 (the claims)'

/** The words for a text that is not three parts of base64url. */
export function describeText(text: string): string {
  const disguise = describeDisguise(text)
  if (disguise !== undefined) return disguise
  if (text === '') return 'it is empty'
  if (/^[[{]/.test(text)) return 'it looks like JSON; a token is in compact form, three parts joined by dots'
  if (text.includes(','))
    return `it has a comma at character ${text.indexOf(',') + 1}, as if several values were joined`
  // No more of them than are told apart.
  const parts = text.split('.', MOST_PARTS)
  if (parts.length === MOST_PARTS) return `it has more than ${MOST_PARTS - 1} parts; three, joined by dots, are needed`
  if (parts.length === 5) return 'it has five parts, as an encrypted token (JWE) has; three are needed'
  if (parts.length !== 3)
    return `it has ${parts.length} ${parts.length === 1 ? 'part' : 'parts'}; three, joined by dots, are needed`
  const [header = '', claims = '', signature = ''] = parts
  return (
    base64Fault(HEADER_PART, header) ??
    base64Fault(CLAIMS_PART, claims) ??
    base64Fault('part 3 (the signature)', signature) ??
    'it is not three parts of canonical base64url joined by dots'
  )
}

/** What is wrong with a part in base64url, and at which of its characters; undefined: nothing. */
function base64Fault(name: string, part: string): string | undefined {
  if (part === '') return `${name} is empty`
  const at = part.search(/[^A-Za-z0-9_-]/)
  if (at >= 0) {
    const place = `at its character ${at + 1}`
    const character = part.charAt(at)
    if (character === '=') return `${name} has padding (=) ${place}; base64url has none here`
    if (character === '+' || character === '/')
      return `${name} has a character of plain base64 ${place}; base64url is needed`
    if (/\s/.test(character)) return `${name} has white space ${place}`
    return `${name} has a character ${place} that base64url does not have`
  }
  if (part.length % 4 === 1) return `${name} is cut off: no base64url has ${part.length} characters`
  const isCanonical = Buffer.from(part, 'base64url').toString('base64url') === part
  return isCanonical ? undefined : `${name} has stray bits in its last character`
}

/** What is wrong with a header or claims that are not strict JSON. */
export function describePart(name: string, part: string, knownNames: readonly string[]): string {
  const encoding = base64Fault(name, part)
  if (encoding !== undefined) return encoding
  const text = Buffer.from(part, 'base64url').toString('latin1')
  return describeJson(`the JSON of ${name}`, text, knownNames)
}

function describeJson(name: string, text: string, knownNames: readonly string[]): string {
  if (text.startsWith('\u00ef\u00bb\u00bf')) return `${name} has a byte order mark before it`
  const scan = scanJson(text)
  const within = scan.member !== undefined && knownNames.includes(scan.member) ? `, in ${scan.member}` : ''
  if (scan.fault !== undefined) return `${name} has ${scan.fault} at character ${scan.at + 1}${within}`
  if (scan.depth > MOST_LEVELS) return `${name} is nested too deep`
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return `${name} is not JSON`
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `${name} is ${kindOf(value)}, and no JSON object`
  const twice = firstTwice(scan.starts)
  if (twice !== undefined) return `${name} has ${knownNames.includes(twice) ? `the member ${twice}` : 'a member'} twice`
  const at = firstDifference(text, JSON.stringify(value))
  const member = scan.starts.findLast(([, start]) => start <= at)?.[0]
  const where = member !== undefined && knownNames.includes(member) ? `, in ${member}` : ''
  return `${name} has something that is not written as JSON.stringify writes it at character ${at + 1}${where}: a number in plain digits is needed`
}

/** The first name that stands there a second time. */
function firstTwice(members: readonly (readonly [name: string, start: number])[]): string | undefined {
  const seen = new Set<string>()
  for (const [name] of members) {
    if (seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}

function firstDifference(one: string, other: string): number {
  let at = 0
  while (at < one.length && one[at] === other[at]) at++
  return at
}

interface Scan {
  /** the first thing that strict text does not have; undefined: nothing of the kind */
  fault: string | undefined
  at: number
  /** the member of the object that it is in */
  member: string | undefined
  /** the names of the members, as often as they stand there, and where their values begin */
  readonly starts: [string, number][]
  /** how deep it nests at most */
  depth: number
}

/** Walks over a text that may be JSON: white space outside of strings, escapes, characters beyond printable ASCII. */
function scanJson(text: string): Scan {
  const scan: Scan = { fault: undefined, at: 0, member: undefined, starts: [], depth: 0 }
  let depth = 0
  let opened = -1
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at)
    const fault = faultOf(character, opened >= 0, text.charAt(at + 1))
    if (fault !== undefined) return { ...scan, fault, at }
    if (opened >= 0) {
      if (character !== '"') continue
      if (depth === 1 && text.charAt(at + 1) === ':') {
        scan.member = text.slice(opened + 1, at)
        scan.starts.push([scan.member, at + 2])
      }
      opened = -1
    } else if (character === '"') opened = at
    else if (character === '{' || character === '[') scan.depth = Math.max(scan.depth, ++depth)
    else if (character === '}' || character === ']') depth--
    else if (character === ',' && depth === 1) scan.member = undefined
  }
  return scan
}

function faultOf(character: string, inString: boolean, next: string): string | undefined {
  if (!inString && /\s/.test(character)) return 'white space'
  if (character === '\\') return next === 'u' ? 'an escape (\\u)' : next === '/' ? 'an escape (\\/)' : 'an escape'
  if (character < ' ') return 'a control character'
  return character > '~' ? 'a character beyond printable ASCII' : undefined
}

/** Members of other standards, by which a token of another library is known. */
const FOREIGN_NAMES: ReadonlySet<string> = new Set(
  'nbf sub azp acr amr nonce scope client_id realm roles sid name email cnf act events jwk jku x5u x5c x5t x5t#S256 crit b64 zip cty enc epk apu apv url svt'.split(
    ' ',
  ),
)

/** What is wrong with the members of an object of a closed set: one is missing, or is not in the set. Undefined: nothing. */
export function describeMembers(
  what: string,
  members: Readonly<Record<string, unknown>>,
  required: readonly string[],
  optional: readonly string[],
): string | undefined {
  const names = Object.keys(members)
  const unknown = names.findIndex((name) => !required.includes(name) && !optional.includes(name))
  const missing = required.find((name) => !names.includes(name))
  if (unknown >= 0) {
    const name = names[unknown] as string
    const named = FOREIGN_NAMES.has(name)
      ? `the ${what} ${name}`
      : `an unknown ${what}, the ${ordinal(unknown + 1)} of ${names.length}`
    const instead = missing === undefined ? '' : `, and ${missing} is missing`
    return `it has ${named}; version 1 has ${[...required, ...optional].join(', ')} and no others${instead}`
  }
  return missing === undefined ? undefined : `the ${what} ${missing} is missing`
}

function ordinal(number: number): string {
  const suffix = ['st', 'nd', 'rd'][(number % 10) - 1]
  return `${number}${suffix === undefined || Math.floor(number / 10) % 10 === 1 ? 'th' : suffix}`
}

/** `aud is a list; it must be …` */
export function describeValue(name: string, value: unknown, must: string): string {
  if (value === undefined) return `${name} is missing`
  return `${name} is ${kindOf(value)}; it must be ${must}`
}

/** The kind of a value, with an article. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a table'
  if (typeof value === 'string') return value === '' ? 'an empty text' : 'a text'
  if (typeof value === 'number') return Number.isInteger(value) ? 'a number' : 'a number with a fraction'
  return `a ${typeof value}`
}
