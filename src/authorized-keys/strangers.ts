import { SetupError, type SourcePosition } from '../errors.ts'
import { keyError } from '../keys/key-error.ts'
import { containsPrivateKey } from '../keys/private-key.ts'
import { readPublicKey } from '../keys/public-key.ts'
import {
  AUTHORIZED_KEYS,
  isBackup,
  isOldCopy,
  isOwnFile,
  meantBy,
  type OwnFile,
  QUEUE_POLICY,
  REVOKED_KEYS,
  soundsRevoking,
} from './file-names.ts'
import { parseLines } from './lines.ts'
import { parseRevokedKeys } from './revoked-keys.ts'
import { contentLines, syntaxError } from './syntax.ts'

/** What is to be said of a file that is not read, and what it revokes all the same. */
export interface Stranger {
  readonly faults: readonly SetupError[]
  readonly revocations: ReadonlySet<string>
}

const NOTHING: ReadonlySet<string> = new Set()

/**
 * A file of another name than ours: passed over, unless it holds a secret or is meant to be one of ours, by its
 * name or by what is in it. A typo never delays a revocation, not even one in the name of the file.
 *
 * @param file where people see it
 */
export function judgeStranger(name: string, content: Buffer | SetupError, file: string): Stranger {
  const revocations = revokedBy(name, content, file)
  const meant = meantBy(name) ?? (revocations.size > 0 ? REVOKED_KEYS : meantByContent(name, content, file))
  const faults = [secretFault(content, { file }), meant && misnamed(name, meant, { file })]
  return { faults: faults.filter((fault) => fault !== undefined), revocations }
}

/** A file beside the `..data` of a Kubernetes volume, from which everything is read. */
export function judgeBesideVolume(name: string, content: Buffer | SetupError, file: string): Stranger {
  const isOwn = isOwnFile(name)
  const revocations =
    name === REVOKED_KEYS && Buffer.isBuffer(content) ? revocationsIn(content, file) : revokedBy(name, content, file)
  const isMeant = isOwn || revocations.size > 0 || meantBy(name) !== undefined || isPublicKey(content)
  const advice =
    'this lies beside the ..data of a Kubernetes volume and is not read: take it away, and change the ConfigMap or ' +
    'Secret that the volume is made from'
  const meant = isMeant || meantByContent(name, content, file) !== undefined
  const faults = [
    secretFault(content, { file }),
    meant ? keyError('authorized-keys-invalid', advice, { file }) : undefined,
  ]
  return { faults: faults.filter((fault) => fault !== undefined), revocations }
}

function secretFault(content: Buffer | SetupError, position: SourcePosition): SetupError | undefined {
  if (!Buffer.isBuffer(content) || !containsPrivateKey(content)) return undefined
  return keyError(
    'key-private-in-public-place',
    'a private key among the authorized keys: remove it from here and treat it as compromised',
    position,
  )
}

function misnamed(name: string, meant: OwnFile, position: SourcePosition): SetupError {
  const parts = meant === AUTHORIZED_KEYS ? `, or a part of it billing.${AUTHORIZED_KEYS}` : ', which has no parts'
  const also = meant === REVOKED_KEYS ? '; what it revokes is revoked all the same' : ''
  const what = name.includes('/') ? 'what lies in this directory' : 'what has this name'
  return syntaxError(`${what} is not read: call it ${meant}${parts}${also}`, position)
}

function revokedBy(name: string, content: Buffer | SetupError, file: string): ReadonlySet<string> {
  if (!Buffer.isBuffer(content) || isBackup(name)) return NOTHING
  const [folder = ''] = name.split('/')
  if (soundsRevoking(folder) || meantBy(name) === REVOKED_KEYS) return revocationsIn(content, file)
  return isListOfFingerprints(content) ? revocationsIn(content, file) : NOTHING
}

/** Every revocation that can be read, and the key where the file is one. */
function revocationsIn(content: Buffer, file: string): ReadonlySet<string> {
  // That the file is misplaced is said once; what else is wrong with it comes second.
  const revocations = parseRevokedKeys(content.toString('utf8'), file, () => undefined)
  const key = publicKeyIn(content)
  return key === undefined ? revocations : new Set([...revocations, key])
}

/** Fingerprints and key ids alone, which are of use nowhere else. */
function isListOfFingerprints(content: Buffer): boolean {
  const lines = linesOf(content)
  return lines.length > 0 && lines.every((line) => /^\s*(?:SHA256:[A-Za-z0-9+/]{43}|kid:[\w-]{43})(?:\s|$)/.test(line))
}

/** A file in which every line authorizes somebody would be a part of authorized_keys. */
function meantByContent(name: string, content: Buffer | SetupError, file: string): OwnFile | undefined {
  if (!Buffer.isBuffer(content) || name.startsWith('.') || isOldCopy(name)) return undefined
  const lines = linesOf(content)
  const looksRight = lines.length > 0 && lines.every((line) => /^\s*[\w./,-]+\s+\S*queues="/.test(line))
  if (looksRight && isParsed(() => parseLines(content.toString('utf8'), file))) return AUTHORIZED_KEYS
  const isPolicy =
    lines.length > 0 && lines.every((line) => /\s(?:rollout|accept-unsigned-until|max-age)=\S/.test(line))
  return isPolicy ? QUEUE_POLICY : undefined
}

function isParsed(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch (error) {
    if (error instanceof SetupError) return false
    throw error
  }
}

function linesOf(content: Buffer): string[] {
  return Array.from(
    contentLines(content.toString('utf8'), '', () => undefined),
    ({ text }) => text,
  )
}

function isPublicKey(content: Buffer | SetupError): boolean {
  return Buffer.isBuffer(content) && publicKeyIn(content) !== undefined
}

function publicKeyIn(content: Buffer): string | undefined {
  try {
    return readPublicKey(content).fingerprint
  } catch (error) {
    if (error instanceof SetupError) return undefined
    throw error
  }
}
