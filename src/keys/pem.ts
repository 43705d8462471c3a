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

/** The only key block of a text. `openssl ecparam -genkey` writes the curve into a block before it, which is no key. */
export function onlyPemBlock(text: string, position: SourcePosition | undefined): PemBlock {
  const blocks = pemBlocks(text).filter((block) => block.label !== 'EC PARAMETERS')
  const [block] = blocks
  if (block === undefined)
    throw keyError('key-malformed', 'this PEM text has no complete BEGIN and END lines', position)
  if (blocks.length > 1) {
    throw keyError('key-malformed', `this PEM text has ${blocks.length} blocks; write one key alone`, position)
  }
  return block
}

function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = []
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
    blocks.push({ label, text: `${text.slice(begin, from)}\n` })
  }
}
