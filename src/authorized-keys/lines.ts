import type { SetupError, SourcePosition } from '../errors.ts'
import { refuseUnsupportedWord, SSH_WORDS } from '../keys/openssh-public.ts'
import { type PublicKey, readPublicKey } from '../keys/public-key.ts'
import { isServiceName } from '../token.ts'
import { parseOptions } from './options.ts'
import type { Allow } from './snapshot.ts'
import { asciiFault, at, contentLines, type Field, raise, shown, splitFields, syntaxError } from './syntax.ts'

/** The most services of one line. */
export const MAX_SERVICES = 64

/** The first words of OpenSSH key lines, of types that are supported or not. */
const KEY_WORD =
  /^(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp\d+|rsa-sha2-\d+|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com|[a-z0-9-]+-cert-v01@openssh\.com)$/

/** The options of ~/.ssh/authorized_keys that have no value, and would do for the name of a service. */
const SSH_FLAGS: ReadonlySet<string> = new Set(
  (
    'agent-forwarding cert-authority no-agent-forwarding no-port-forwarding no-pty no-touch-required no-user-rc ' +
    'no-x11-forwarding port-forwarding pty restrict user-rc verify-required x11-forwarding'
  ).split(' '),
)

/** Reads the first two words of an OpenSSH public key line. */
export type ReadKey = (text: string, position: SourcePosition) => PublicKey

/**
 * Reads an authorized_keys text, one line `services options keytype key [comment]` after the other. There is no partial
 * result: with one line wrong nothing in the text is to be relied on.
 *
 * @param file its name, for errors and positions
 * @throws SetupError `authorized-keys-invalid`, `key-private-in-public-place`, or `key-*` for a key that is unusable
 */
export function parseLines(text: string, file: string, readKey: ReadKey = readPublicKey): Allow[] {
  const allows: Allow[] = []
  for (const line of contentLines(text, file, raise)) allows.push(parseLine(line.text, line.position, readKey))
  return allows
}

function parseLine(text: string, position: SourcePosition, readKey: ReadKey): Allow {
  const fields = splitFields(text, 4)
  const keyIndex = fields.findIndex((field) => KEY_WORD.test(field.text))
  const fault = asciiFault(text, keyIndex < 0 ? fields : fields.slice(0, keyIndex + 2), position)
  if (fault !== undefined) throw fault
  if (keyIndex === 0 || (keyIndex === 1 && looksLikeOptions(fields[0]?.text ?? ''))) {
    throw serviceMissing(fields, keyIndex, text, position)
  }
  if (keyIndex === 1 || keyIndex === 3) throw optionsFault(fields, keyIndex, position)
  const [serviceField, optionField, word, base64] = fields
  if (serviceField === undefined || optionField === undefined) {
    throw syntaxError('an incomplete line: write service queues="…" ssh-ed25519 …', position)
  }
  const services = parseServices(serviceField, position)
  const { algorithmFor, ...options } = parseOptions(optionField, position)
  if (word === undefined) {
    throw syntaxError('no key: after the options write ssh-ed25519 …', at(position, text.trimEnd().length))
  }
  const key = parseKey(word, base64, position, readKey)
  const here = at(position, serviceField.start)
  return { key, line: Object.freeze({ services, ...options, algorithm: algorithmFor(key.type), position: here }) }
}

function looksLikeOptions(text: string): boolean {
  return /[="]/.test(text) || text.split(',').every((flag) => SSH_FLAGS.has(flag.toLowerCase()))
}

/** A line as in ~/.ssh/authorized_keys or a .pub file, or one whose service was forgotten: shown as it should be. */
function serviceMissing(
  fields: readonly Field[],
  keyIndex: number,
  text: string,
  position: SourcePosition,
): SetupError {
  const word = fields[keyIndex]?.text ?? ''
  const base64 = fields[keyIndex + 1]
  const comment = base64 === undefined ? '' : text.slice(base64.start + base64.text.length).trim()
  const options = fields[0]?.text ?? ''
  const kept = keyIndex === 1 && options.startsWith('queues=') && options.length <= 200 ? options : 'queues="…"'
  return syntaxError(
    `no service: the line begins with the service that signs with the key; write ${serviceOr(comment)} ${kept} ${word} …`,
    at(position, fields[0]?.start ?? 0),
  )
}

function optionsFault(fields: readonly Field[], keyIndex: number, position: SourcePosition): SetupError {
  const [first, second, third] = fields
  if (keyIndex === 1) {
    const advice = `write ${serviceOr(first?.text ?? '')} queues="…" ${second?.text} …`
    return syntaxError(`no options, and queues is required: ${advice}`, at(position, second?.start ?? 0))
  }
  const afterSpace = first?.text.endsWith(',') ? second : third
  return syntaxError(
    'a space within services or options: write both lists without spaces',
    at(position, afterSpace?.start ?? 0),
  )
}

/** What would do for a service, or an example. */
function serviceOr(text: string): string {
  return isServiceName(text) && text.length <= 32 ? text : 'my-service'
}

function parseServices(field: Field, position: SourcePosition): readonly string[] {
  const services = field.text.split(',')
  let start = field.start
  for (const service of services) {
    if (!isServiceName(service)) {
      const rule = 'up to 128 letters, digits and . _ / - with a letter or digit at both ends, such as checkout'
      throw syntaxError(`${shown(service)} is no service name: write ${rule}`, at(position, start))
    }
    start += service.length + 1
  }
  if (services.length > MAX_SERVICES) {
    throw syntaxError(
      `${services.length} services, but ${MAX_SERVICES} are the most: write several lines`,
      at(position, field.start),
    )
  }
  return Object.freeze(services)
}

function parseKey(word: Field, base64: Field | undefined, position: SourcePosition, readKey: ReadKey): PublicKey {
  const here = at(position, word.start)
  if (!KEY_WORD.test(word.text)) {
    throw syntaxError(`not a key type: write one of ${Object.values(SSH_WORDS).join(', ')}`, here)
  }
  refuseUnsupportedWord(word.text, here)
  if (base64 === undefined) throw syntaxError(`the key itself is missing: write ${word.text} AAAA…`, here)
  return readKey(`${word.text} ${base64.text}`, at(position, base64.start))
}
