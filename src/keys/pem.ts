import type { SourcePosition } from '../errors.ts'
import { keyError } from './key-error.ts'

/** One PEM block (RFC 7468): what stands after BEGIN, and its text from BEGIN to END. */
export interface PemBlock {
  readonly label: string
  readonly text: string
}

export function looksLikePem(text: string): boolean {
  return text.includes('-----BEGIN ')
}

/** Whether a text, PEM or one of its relatives, has a block whose label says that it is private. */
export function hasPrivateLabel(text: string): boolean {
  return /-{4,5} ?BEGIN [^\n-]*PRIVATE KEY/i.test(text) || text.includes('PuTTY-User-Key-File-')
}

/**
 * The only key block of a text, its lines as RFC 7468 writes them: without indentation, and broken again where somebody
 * joined them. `openssl ecparam -genkey` writes the curve into a block before it, which is no key.
 */
export function onlyPemBlock(text: string, position: SourcePosition | undefined): PemBlock {
  const blocks = pemBlocks(text).filter((block) => block.label !== 'EC PARAMETERS')
  const [block] = blocks
  if (block === undefined) throw keyError('key-malformed', incompleteness(text), position)
  if (blocks.length > 1) {
    throw keyError('key-malformed', `this PEM text has ${blocks.length} blocks; write one key alone`, position)
  }
  const fault = faultOf(block.body)
  if (fault !== undefined) throw keyError('key-malformed', `this PEM text ${fault}`, position)
  return { label: block.label, text: written(block) }
}

/** What is missing of a text that has no whole block. */
function incompleteness(text: string): string {
  const [, label] = /-----BEGIN ([^-]*)-----/.exec(text) ?? []
  if (label === undefined) return 'the BEGIN line of this PEM text is damaged; it ends with five dashes'
  return text.includes('-----END ')
    ? `the END line of this PEM text does not say ${label}, as its BEGIN line does; copy the whole file`
    : 'this PEM text has no END line, so its end is missing; copy the whole file'
}

/** Header lines of the old encrypted form (RFC 1421), and then base64; or base64 alone. */
function partsOf(body: string): { readonly headers: readonly string[]; readonly base64: string } {
  const lines = body.split(/\r\n|\n|\r/).map((line) => line.trim())
  const headers = lines.filter((line) => /^[A-Za-z-]+: /.test(line))
  return {
    headers,
    base64: lines
      .filter((line) => !headers.includes(line))
      .join('')
      .replace(/[ \t]+/g, ''),
  }
}

/** What no PEM has; the character alone is told, and nothing around it. */
function faultOf(body: string): string | undefined {
  const { base64 } = partsOf(body)
  const index = base64.search(/[^A-Za-z0-9+/=]/)
  if (index >= 0) {
    const code = (base64.codePointAt(index) ?? 0).toString(16).toUpperCase().padStart(4, '0')
    return `has a character in it that no PEM has, U+${code}, as character ${index + 1} of its base64; copy it again from its file`
  }
  if (base64 === '') return 'has nothing between its BEGIN and END lines; copy the whole file'
  const end = base64.indexOf('=')
  if (end >= 0 && /[^=]/.test(base64.slice(end)))
    return 'has base64 that goes on after its end; copy it again from its file'
  if (base64.length % 4 !== 0) {
    return `has ${base64.length} characters of base64, which is no multiple of 4, so some are missing; copy it again from its file`
  }
  return undefined
}

function written({ label, body }: PemText): string {
  const { headers, base64 } = partsOf(body)
  const lines = base64.match(/.{1,64}/g) ?? []
  const before = headers.length === 0 ? [] : [...headers, '']
  return [`-----BEGIN ${label}-----`, ...before, ...lines, `-----END ${label}-----`, ''].join('\n')
}

/** A block as it was found. */
interface PemText {
  readonly label: string
  /** between the BEGIN and END lines */
  readonly body: string
}

function pemBlocks(text: string): PemText[] {
  const blocks: PemText[] = []
  let from = 0
  for (;;) {
    const begin = text.indexOf('-----BEGIN ', from)
    if (begin < 0) return blocks
    const labelEnd = text.indexOf('-----', begin + 11)
    if (labelEnd < 0) return blocks
    const label = text.slice(begin + 11, labelEnd)
    const endLine = `-----END ${label}-----`
    const end = text.indexOf(endLine, labelEnd)
    if (end < 0) return blocks
    from = end + endLine.length
    blocks.push({ label, body: text.slice(labelEnd + 5, end) })
  }
}
