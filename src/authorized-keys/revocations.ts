import { basename, dirname } from 'node:path'
import { SetupError } from '../errors.ts'
import { fileState } from '../files/file-state.ts'
import { Follower } from '../files/follower.ts'
import { wayFaults } from '../files/modes.ts'
import { readOneFile } from '../files/read-directory.ts'
import { parseRevokedKeys } from './revoked-keys.ts'
import { MAX_FILE_LENGTH, syntaxError } from './syntax.ts'

/** Keys that are compromised, beside a source of keys that knows none itself. */
export interface RevocationOptions {
  /**
   * The text of a revoked_keys file, or its lines: `SHA256:…`, `kid:…` or a public key line. What they name is refused
   * whatever the source of keys says.
   */
  readonly revokedKeys?: string | readonly string[]
}

/** @throws SetupError `option-invalid`, `authorized-keys-invalid` */
export function revocationsOf({ revokedKeys = '' }: RevocationOptions): ReadonlySet<string> {
  const isList = Array.isArray(revokedKeys) && revokedKeys.every((each) => typeof each === 'string')
  if (typeof revokedKeys !== 'string' && !isList) {
    throw new SetupError(
      'option-invalid',
      'revokedKeys must be the text of a revoked_keys file, or an array of its lines',
    )
  }
  return parseRevokedKeys(typeof revokedKeys === 'string' ? revokedKeys : revokedKeys.join('\n'), 'revokedKeys')
}

export interface RevocationFileOptions {
  /** how often the file is read without a reason, beside watching it, in milliseconds */
  readonly pollMs: number
  /** see {@link DirectoryOptions.strictModes} */
  readonly strictModes: boolean
  /** what the file says, or what is wrong with it, is new */
  readonly changed: () => void
}

/** A revoked_keys file by itself, which is followed. While anything is wrong with it, nothing it ever said is forgotten. */
export class RevocationFile {
  readonly #path: string
  readonly #options: RevocationFileOptions
  readonly #follower: Follower
  #revocations: ReadonlySet<string> = new Set()
  #fault: SetupError | undefined
  #text = ''
  /** of the monotonic clock, in milliseconds */
  #goodAt = 0

  private constructor(path: string, options: RevocationFileOptions) {
    const name = basename(path)
    this.#path = path
    this.#options = options
    this.#follower = new Follower({
      directory: dirname(path),
      matters: (entry) => entry === name || entry.startsWith('..'),
      pollMs: options.pollMs,
      look: () => this.#look(),
      glance: () => fileState(path),
    })
  }

  /** @throws SetupError when there is anything wrong with the file */
  static async open(path: string, options: RevocationFileOptions): Promise<RevocationFile> {
    if (typeof path !== 'string' || path === '') {
      throw new SetupError('option-invalid', 'revokedKeysFile must be the path of a revoked_keys file')
    }
    const file = new RevocationFile(path, options)
    await file.#follower.start()
    if (file.#fault === undefined) return file
    file.close()
    throw file.#fault
  }

  get revocations(): ReadonlySet<string> {
    return this.#revocations
  }

  get fault(): SetupError | undefined {
    return this.#fault
  }

  /** when the file was last found in order, of the monotonic clock in milliseconds */
  get goodAt(): number {
    return this.#goodAt
  }

  close(): void {
    this.#follower.close()
  }

  async #look(): Promise<boolean> {
    const before = [this.#revocations, this.#fault?.message] as const
    const faults: SetupError[] = []
    const { strictModes } = this.#options
    const content = await readOneFile(this.#path, MAX_FILE_LENGTH, strictModes ? faults : undefined)
    let found: ReadonlySet<string> = new Set()
    if (content instanceof SetupError) faults.push(content)
    else {
      if (strictModes) faults.push(...(await wayFaults(this.#path, 'owner alone may write')))
      const text = content.toString('utf8')
      found = parseRevokedKeys(text, this.#path, (error) => void faults.push(error))
      faults.push(...this.#losses(text, found))
      if (faults.length === 0) this.#text = text
    }
    this.#fault = faults[0]
    const united = faults.length === 0 ? found : new Set([...this.#revocations, ...found])
    if (!isSame(united, this.#revocations)) this.#revocations = united
    if (faults.length === 0) this.#goodAt = performance.now()
    if (before[0] !== this.#revocations || before[1] !== this.#fault?.message) this.#options.changed()
    return faults.length === 0
  }

  /** A file that is empty, or cut off, does not get so on purpose. */
  #losses(text: string, found: ReadonlySet<string>): SetupError[] {
    const position = { file: this.#path }
    if (text === '' && this.#text !== '') {
      return [syntaxError('it had lines and is empty: put it back, or leave a comment line in it', position)]
    }
    const gone = [...this.#revocations].some((revocation) => !found.has(revocation))
    if (!gone || text.endsWith('\n')) return []
    const advice = 'end the last line if that is meant'
    return [
      syntaxError(`revocations are gone and it does not end with a line break, as if cut off: ${advice}`, position),
    ]
  }
}

function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each))
}
