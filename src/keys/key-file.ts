import type { KeyObject } from 'node:crypto'
import { basename, dirname } from 'node:path'
import { faultOf, type KeyFault } from '../authorized-keys/health.ts'
import { SetupError } from '../errors.ts'
import { milliseconds } from '../files/durations.ts'
import { fileState } from '../files/file-state.ts'
import { Follower } from '../files/follower.ts'
import { tellOfKeys } from '../files/tell.ts'
import { keyError } from './key-error.ts'
import { readPrivateKeyFile } from './key-files.ts'

export interface KeyFileOptions {
  /** opens an encrypted key */
  readonly passphrase?: string | Uint8Array
  /** how often the file is looked at without a reason, beside watching it: 30 */
  readonly pollSeconds?: number
  /** The file cannot be used any more. By default one process warning a message. */
  readonly onError?: (error: SetupError) => void
}

/** Whether a signer's key file is in order. */
export interface SignerHealth {
  /** `broken`: the file cannot be used, and the last good key goes on signing */
  readonly state: 'ok' | 'broken'
  readonly error: KeyFault | undefined
}

/** A private key file that is watched. */
export class KeyFile {
  readonly #path: string
  readonly #options: KeyFileOptions
  readonly #use: (key: KeyObject) => void
  readonly #follower: Follower
  /** the file as it was before it was read last: polling must not decrypt a key again and again */
  #seen = ''
  #error: SetupError | undefined
  #opened = false

  private constructor(path: string, options: KeyFileOptions, use: (key: KeyObject) => void) {
    const name = basename(path)
    this.#path = path
    this.#options = options
    this.#use = use
    this.#follower = new Follower({
      directory: dirname(path),
      // a key file often lies among files that change all the time; `..data` is how Kubernetes replaces a directory
      matters: (entry) => entry === name || entry.startsWith('..'),
      pollMs: milliseconds('pollSeconds', options.pollSeconds ?? 30),
      look: (polled) => this.#look(polled),
      glance: () => fileState(path),
    })
  }

  /**
   * @param use takes a key over, at first and whenever another is there; what it throws is a fault of the file
   * @throws SetupError whatever reading the file or `use` throws the first time
   */
  static async open(path: string, options: KeyFileOptions, use: (key: KeyObject) => void): Promise<KeyFile> {
    const file = new KeyFile(path, options, use)
    await file.#follower.start()
    if (file.#error === undefined) {
      file.#opened = true
      return file
    }
    file.close()
    throw file.#error
  }

  health(): SignerHealth {
    const error = this.#error
    return { state: error === undefined ? 'ok' : 'broken', error: error === undefined ? undefined : faultOf(error) }
  }

  close(): void {
    this.#follower.close()
  }

  async #look(polled: boolean): Promise<boolean> {
    const state = await fileState(this.#path)
    if (polled && state === this.#seen) return this.#error === undefined
    const isNews = state !== this.#seen || this.#error !== undefined
    this.#seen = state
    try {
      const { passphrase } = this.#options
      // It signs something that its public half verifies, or is refused.
      this.#use(await readPrivateKeyFile(this.#path, { passphrase }))
      this.#error = undefined
      if (isNews && this.#opened) this.#tell('ok')
      return true
    } catch (error) {
      const before = this.#error?.message
      this.#error = this.#asSetupError(error)
      if (this.#opened && before !== this.#error.message) this.#tell('broken')
      return false
    }
  }

  #tell(state: SignerHealth['state']): void {
    const error = this.#error
    tellOfKeys(
      { role: 'signer', source: this.#path, state, ...(error !== undefined && { error }) },
      this.#options.onError,
    )
  }

  #asSetupError(error: unknown): SetupError {
    if (error instanceof SetupError) return error
    return keyError('key-malformed', 'this private key cannot be used', { file: this.#path }, error)
  }
}
