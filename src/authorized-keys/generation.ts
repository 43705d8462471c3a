import { join } from 'node:path'
import { SetupError } from '../errors.ts'
import { type DirectoryFiles, type LimitOf, readDirectory } from '../files/read-directory.ts'
import { keyError } from '../keys/key-error.ts'
import { MAX_KEY_OCTETS } from '../keys/key-text.ts'
import { type PublicKey, readPublicKey } from '../keys/public-key.ts'
import {
  AUTHORIZED_KEYS,
  isAuthorizedKeysFile,
  isOwnFile,
  meantBy,
  QUEUE_POLICY,
  REVOKED_KEYS,
  soundsRevoking,
} from './file-names.ts'
import { parseLines, type ReadKey } from './lines.ts'
import { parseQueuePolicy, type QueuePolicyLine } from './queue-policy.ts'
import { parseRevokedKeys } from './revoked-keys.ts'
import type { Allow } from './snapshot.ts'
import { judgeBesideVolume, judgeStranger } from './strangers.ts'
import { MAX_FILE_LENGTH, syntaxError } from './syntax.ts'

export { AUTHORIZED_KEYS, isAuthorizedKeysFile, QUEUE_POLICY, REVOKED_KEYS }

/** What a directory says at one moment. Whatever is wrong, every revocation that can be read is here. */
export interface Generation {
  readonly allows: readonly Allow[]
  readonly revocations: ReadonlySet<string>
  readonly policies: readonly QueuePolicyLine[]
  /** the files that were read, with their texts */
  readonly texts: ReadonlyMap<string, string>
  /** everything that is wrong; with a single fault, allows and policies are not to be relied on */
  readonly faults: readonly SetupError[]
}

/** Files that are not ours are looked at for private keys, and no key file is longer than this. */
export const limitOf: LimitOf = (name) =>
  isOwnFile(name) || meantBy(name) !== undefined || soundsRevoking(name)
    ? { octets: MAX_FILE_LENGTH, mayBeLonger: false }
    : { octets: MAX_KEY_OCTETS, mayBeLonger: true }

/**
 * Reads a directory of keys once, for whoever wants to know everything that is wrong with it.
 *
 * @throws SetupError `key-file-unreadable` for the directory as a whole
 */
export async function readGeneration(directory: string, strictModes = false): Promise<Generation> {
  return parseGeneration(await readKeyDirectory(directory, strictModes), directory)
}

/**
 * @param strictModes whether files and directories that others can write to are faults
 * @throws SetupError `key-file-unreadable` for the directory as a whole
 */
export function readKeyDirectory(directory: string, strictModes: boolean): Promise<DirectoryFiles> {
  return readDirectory(directory, limitOf, {
    isHidden: (name) => meantBy(name) !== undefined,
    isFolder: soundsRevoking,
    ...(strictModes && { isGuarded: isOwnFile }),
  })
}

/** @param readKey reads the key of a line, for whoever has read most of them before */
export function parseGeneration(
  { files, beside = NO_FILES, faults: modes = [] }: DirectoryFiles,
  directory: string,
  readKey: ReadKey = readPublicKey,
): Generation {
  const faults: SetupError[] = []
  const note = (error: SetupError): void => void faults.push(error)
  const texts = new Map<string, string>()
  const allows: Allow[] = []
  let revocations: ReadonlySet<string> = new Set()
  const misplaced: string[] = []
  let policies: readonly QueuePolicyLine[] = []
  for (const [name, content] of files) {
    const file = join(directory, name)
    if (!isOwnFile(name)) {
      const stranger = judgeStranger(name, content, file)
      for (const fault of stranger.faults) note(fault)
      misplaced.push(...stranger.revocations)
      continue
    }
    if (content instanceof SetupError) {
      note(content)
      continue
    }
    // What is not UTF-8 becomes U+FFFD, which is refused everywhere but in comments.
    const text = content.toString('utf8')
    texts.set(name, text)
    if (name === REVOKED_KEYS) revocations = parseRevokedKeys(text, file, note)
    else if (name === QUEUE_POLICY) policies = noting(note, policies, () => parseQueuePolicy(text, file))
    else allows.push(...noting(note, [], () => parseLines(text, file, readKey)))
  }
  for (const [name, content] of beside) {
    const stranger = judgeBesideVolume(name, content, join(directory, name))
    for (const fault of stranger.faults) note(fault)
    misplaced.push(...stranger.revocations)
  }
  for (const fault of modes) note(fault)
  if (allows.length === 0 && faults.length === 0) note(nobody(files, directory))
  return { allows, revocations: new Set([...revocations, ...misplaced]), policies, texts, faults }
}

const NO_FILES: ReadonlyMap<string, Buffer | SetupError> = new Map()

function noting<T>(note: (error: SetupError) => void, otherwise: T, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    note(error)
    return otherwise
  }
}

function nobody(files: DirectoryFiles['files'], directory: string): SetupError {
  if (![...files.keys()].some(isAuthorizedKeysFile)) {
    const others = [...files.keys()].some((name) => /\.(?:pem|pub|jwk)$/.test(name))
    const store = others ? ', or fill a FileKeyStore and pass it to AuthorizedKeys.fromKeyStore()' : ''
    return keyError('key-file-unreadable', `there is no file ${AUTHORIZED_KEYS} here: write one${store}`, {
      file: directory,
    })
  }
  const file = join(directory, AUTHORIZED_KEYS)
  return syntaxError('no line authorizes anybody: write service queues="…" ssh-ed25519 …', { file })
}

/**
 * What a generation lost that does not get lost on purpose. A file that was there and is missing or empty, and revocations
 * that are gone from a file without a line break at its end: that is how a file looks that was cut off.
 *
 * @param before the last generation that had no fault
 * @param inForce every revocation that is
 */
export function lossesSince(
  before: Generation,
  now: Generation,
  inForce: ReadonlySet<string>,
  directory: string,
): SetupError[] {
  const losses: SetupError[] = []
  for (const name of [AUTHORIZED_KEYS, REVOKED_KEYS, QUEUE_POLICY]) {
    const text = now.texts.get(name)
    const file = join(directory, name)
    // one that cannot be read has its fault already
    const isKnown = now.faults.some(({ position }) => position?.file === file)
    if (isKnown || (before.texts.get(name) ?? '') === '') continue
    const advice = 'put it back, or leave a comment line in it to say that it is empty on purpose'
    if (text === undefined)
      losses.push(keyError('key-file-unreadable', `it was here and is missing: ${advice}`, { file }))
    else if (text === '') losses.push(syntaxError(`it had lines and is empty: ${advice}`, { file }))
  }
  const text = now.texts.get(REVOKED_KEYS) ?? ''
  const gone = [...inForce].filter((revocation) => !now.revocations.has(revocation)).length
  if (gone > 0 && text !== '' && !text.endsWith('\n')) {
    losses.push(
      syntaxError(
        `${gone} of its revocations are gone and it does not end with a line break, as if it were cut off: end the last line if that is meant`,
        { file: join(directory, REVOKED_KEYS) },
      ),
    )
  }
  return losses
}

/** Reads keys, and remembers those of the last good generation: most of them come again, and reading one takes time. */
export class KnownKeys {
  #good: ReadonlyMap<string, PublicKey> = new Map()
  #seen = new Map<string, PublicKey>()

  /** Begins a generation. */
  reader(): ReadKey {
    const seen = new Map<string, PublicKey>()
    this.#seen = seen
    return (text, position) => {
      const key = seen.get(text) ?? this.#good.get(text) ?? readPublicKey(text, position)
      seen.set(text, key)
      return key
    }
  }

  /** The generation that was begun last is good. */
  keep(): void {
    this.#good = this.#seen
  }
}
