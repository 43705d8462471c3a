import type { SetupError, SourcePosition } from '../errors.ts'
import { keyError } from '../keys/key-error.ts'
import { containsPrivateKey } from '../keys/private-key.ts'
import { quote } from '../text.ts'

/** The longest authorized_keys or revoked_keys text, in characters. */
export const MAX_FILE_LENGTH: number = 8 * 1024 * 1024

/** The longest line, in characters: 64 patterns of 255 characters and a key of 8192 bits fit with room to spare. */
export const MAX_LINE_LENGTH: number = 32 * 1024

/** What becomes of an error: raised at once, or kept while whatever else is good is read. */
export type Report = (error: SetupError) => void

export function raise(error: SetupError): never {
  throw error
}

/** A line that is neither blank nor a comment. */
export interface ContentLine {
  readonly text: string
  /** of its first character */
  readonly position: SourcePosition
}

/** Characters between two runs of spaces and tabs, and their place in the line: from 0. */
export interface Field {
  readonly text: string
  readonly start: number
}

export function syntaxError(message: string, position: SourcePosition | undefined): SetupError {
  return keyError('authorized-keys-invalid', message, position)
}

/** The same line, at another character of it: from 0. */
export function at(position: SourcePosition, start: number): SourcePosition {
  return Object.freeze({ ...position, column: start + 1 })
}

/** A text of the file for an error message. Anything long could be key material, and only its length is told. */
export function shown(text: string): string {
  return text.length <= 32 ? quote(text) : `a text of ${text.length} characters`
}

/** The lines of a file that say something, without what no line of such a file may contain. */
export function* contentLines(text: string, file: string, report: Report): Generator<ContentLine> {
  if (text.length > MAX_FILE_LENGTH) {
    report(syntaxError(`${text.length} characters, but ${MAX_FILE_LENGTH} are the most`, { file }))
  }
  if (text.startsWith('\uFEFF')) {
    report(syntaxError('a byte order mark: save the file as UTF-8 without BOM', { file, line: 1, column: 1 }))
  }
  if (containsPrivateKey(text)) {
    const line = Math.max(0, text.split('\n').findIndex(containsPrivateKey)) + 1
    report(privateKeyError({ file, line, column: 1 }))
  }
  let start = text.startsWith('\uFEFF') ? 1 : 0
  for (let line = 1; start <= text.length; line++) {
    const newline = text.indexOf('\n', start)
    const end = newline < 0 ? text.length : newline
    const content = text.slice(start, text.charAt(end - 1) === '\r' ? end - 1 : end)
    start = end + 1
    const position = Object.freeze({ file, line, column: 1 })
    const fault = lineFault(content, position)
    if (fault !== undefined) report(fault)
    else if (/^[ \t]*[^# \t]/.test(content)) yield { text: content, position }
  }
}

/** What begins like a line of one of the files, behind a line break that is none. */
const JOINED_LINES = /\\n\s*(?:SHA256:|kid:|ssh-|ecdsa-|[\w./,-]+\s+\S*queues=")/

function lineFault(text: string, position: SourcePosition): SetupError | undefined {
  if (text.length > MAX_LINE_LENGTH) {
    return syntaxError(`a line of ${text.length} characters, but ${MAX_LINE_LENGTH} are the most`, position)
  }
  if (containsPrivateKey(text)) return privateKeyError(position)
  if (/^[ \t]*[{[]/.test(text)) {
    return syntaxError(
      'JSON: write the key of a JWK as an OpenSSH line, as `queue-key-auth public-line <file>` prints it',
      position,
    )
  }
  if (/^[ \t]*-----/.test(text)) {
    return syntaxError(
      'PEM: write the key as an OpenSSH line, as `queue-key-auth public-line <file>` prints it',
      position,
    )
  }
  const joined = text.includes('\\n') ? text.search(JOINED_LINES) : -1
  if (joined >= 0) {
    // Else the second line would be a comment of the first, and a revocation in it be lost.
    return syntaxError('a line break that is written out as \\n: write real line breaks', at(position, joined))
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const control = text.search(/[\x00-\x08\x0a-\x1f\x7f]/)
  if (control < 0) return undefined
  const code = text.charCodeAt(control).toString(16).toUpperCase().padStart(4, '0')
  const advice = code === '0000' ? 'save the file as UTF-8' : 'delete it'
  return syntaxError(`a control character, U+${code}: ${advice}`, at(position, control))
}

function privateKeyError(position: SourcePosition): SetupError {
  return keyError(
    'key-private-in-public-place',
    'a private key: remove it from here, treat it as compromised, make a new one, and write the line that ' +
      '`queue-key-auth public-line <file>` prints',
    position,
  )
}

/**
 * The first fields of a line, at most `limit`. White space between double quotes does not end a field.
 */
export function splitFields(text: string, limit: number): Field[] {
  const fields: Field[] = []
  let quoted = false
  let start = -1
  for (let index = 0; index <= text.length; index++) {
    const character = text.charAt(index)
    const ends = character === '' || (!quoted && (character === ' ' || character === '\t'))
    if (!ends) {
      if (start < 0) start = index
      if (character === '"') quoted = !quoted
    } else if (start >= 0) {
      fields.push({ text: text.slice(start, index), start })
      if (fields.length === limit) break
      start = -1
    }
  }
  return fields
}

/** Refuses what is outside ASCII up to and including the last of the fields; what follows is a comment. */
export function asciiFault(text: string, fields: readonly Field[], position: SourcePosition): SetupError | undefined {
  const last = fields.at(-1)
  const index = text.slice(0, last === undefined ? 0 : last.start + last.text.length).search(/[^\t -~]/)
  if (index < 0) return undefined
  const code = (text.codePointAt(index) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return syntaxError(`a character outside ASCII, U+${code}: only comments may have such`, at(position, index))
}
