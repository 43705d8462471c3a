/**
 * What programs on the way do to a key: environment variables and JSON write line breaks as `\n`, quote, and flatten to one
 * line; secret stores encode in base64 once more; YAML indents; PowerShell writes UTF-16. All of it can be undone without
 * guessing, since no key holds a backslash or a quote at its ends.
 */

/** How deep keys are wrapped: quoted within base64, say. */
const MAX_LAYERS = 3

/** `-----BEGIN ` in base64, `{"` and `{` with white space as a JWK begins, and the same in base64 once more. */
const ENCODED_BEGINNING =
  /^(?:LS0tLS1CRUdJTi|eyJ|ewog|ewoJ|ewoi|eyAi|ew0K|TFMwdExTMUNSVWRKVG|ZXlK|ZXdvZ|ZXlBa|ZXdvS|ZXcwS)/

/** The text of a key without what was put around it; the same text where nothing was. */
export function unwrapped(input: string): string {
  let text = input.trim()
  for (let layer = 0; layer < MAX_LAYERS; layer++) {
    const inner = decoded(unescaped(unquoted(text))).trim()
    if (inner === text) break
    text = inner
  }
  return text
}

function unquoted(text: string): string {
  const [quote] = text
  if ((quote !== '"' && quote !== "'" && quote !== '`') || text.length < 2 || !text.endsWith(quote)) return text
  if (quote === '"') {
    const value = jsonString(text)
    if (value !== undefined) return value
  }
  return text.slice(1, -1)
}

function jsonString(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'string' ? value : undefined
  } catch {
    // Real line breaks between the quotes are no JSON, and then the quotes are all there is to take off.
    return undefined
  }
}

/** Line breaks that were written out as a backslash and a letter, once or several times over. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  // JSON has backslashes of its own, and is read as such.
  if (/^[{"]/.test(text)) return text
  return text.replace(/\\+r\\+n|\\+[nr]/g, '\n')
}

function decoded(text: string): string {
  if (!ENCODED_BEGINNING.test(text) || !/^[A-Za-z0-9+/_\s-]+={0,2}$/.test(text)) return text
  const inner = Buffer.from(text, 'base64').toString('utf8')
  return inner.includes('-----BEGIN ') || ENCODED_BEGINNING.test(inner) || /^\s*\{[\s\S]*\}\s*$/.test(inner)
    ? inner
    : text
}

/** The text of octets in UTF-8, or in UTF-16 where a byte order mark says so; undefined for anything else. */
export function decodedText(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes
  const encoding =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    // What it is instead, only whoever asks can say.
    return undefined
  }
}
