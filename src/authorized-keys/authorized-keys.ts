import { acrossBuilds } from '../across-builds.ts'
import { SetupError } from '../errors.ts'
import { above0, checkOptions, either, FLAG, FUNCTION, type OptionRules, TEXT, TEXT_LIST } from '../option-check.ts'
import { expiringLines, type KeyHealth, keyStatuses } from './health.ts'
import { allowsOfJwks, type JwkSet, type JwksOptions } from './jwks.ts'
import { type DirectoryOptions, KeyDirectory } from './key-directory.ts'
import { allowsOfKeyStore, type PublicKeyStore } from './key-store.ts'
import { parseLines } from './lines.ts'
import { Policy, type ServicePolicy } from './policy.ts'
import { RemoteJwks, type RemoteJwksOptions } from './remote-jwks.ts'
import { type RevocationOptions, revocationsOf } from './revocations.ts'
import { parseRevokedKeys } from './revoked-keys.ts'
import { createSnapshot, type KeySnapshot, type KeySource } from './snapshot.ts'

export interface ParseOptions {
  /** what to call the text in errors and positions: `authorized_keys` */
  readonly file?: string
  /** the text of a revoked_keys file */
  readonly revokedKeys?: string
  /** what to call that one: `revoked_keys` */
  readonly revokedKeysFile?: string
}

const PARSE_RULES: OptionRules<ParseOptions> = { file: TEXT, revokedKeys: TEXT, revokedKeysFile: TEXT }

const DURATION = above0('seconds', 86_400)

const DIRECTORY_RULES: OptionRules<DirectoryOptions> = {
  pollSeconds: DURATION,
  staleAfterSeconds: DURATION,
  cooldownSeconds: DURATION,
  expiryNoticeDays: { must: 'a number of days, 0 or more', fits: (value) => typeof value === 'number' && value >= 0 },
  strictModes: FLAG,
  onError: FUNCTION,
}

const REVOCATION_RULES: OptionRules<RevocationOptions> = { revokedKeys: either(TEXT, TEXT_LIST) }

const JWKS_RULES: OptionRules<JwksOptions> = { ...REVOCATION_RULES, serviceOf: FUNCTION }

const REMOTE_RULES: OptionRules<RemoteJwksOptions> = {
  ...JWKS_RULES,
  revokedKeysFile: TEXT,
  strictModes: FLAG,
  pollSeconds: DURATION,
  cooldownSeconds: DURATION,
  staleAfterSeconds: DURATION,
  deferAfterSeconds: above0('seconds', 604_800),
  onError: FUNCTION,
}

type Source = KeySource & { health?(): KeyHealth; close?(): void }

/** Who may send to which queue, and with which key. */
export class AuthorizedKeys implements KeySource {
  static {
    acrossBuilds(AuthorizedKeys, 'AuthorizedKeys')
  }

  /**
   * Looks for keys again, when they come from a place that can have newer ones; absent otherwise. It never rejects, and
   * the source limits how often it really looks.
   */
  readonly refresh?: () => Promise<void>
  readonly #source: Source
  readonly #madeAt = new Date()

  private constructor(source: Source) {
    this.#source = source
    if (source.refresh !== undefined) this.refresh = () => source.refresh?.() ?? Promise.resolve()
  }

  /**
   * Keys from the text of an authorized_keys file, one line each:
   *
   * ```
   * # service      options                                                     key
   * checkout       queues="orders.*,invoices"                                  ssh-ed25519 AAAAC3Nza… 2026q3
   * checkout       queues="orders.*,invoices",valid-after="2026-12-01T00:00Z"  ssh-ed25519 AAAAC3Nza… 2026q4
   * legacy-erp     queues="erp.in",alg="RS256"                                 ssh-rsa AAAAB3Nza…
   * reporting,etl  queues="**,!payments.**"                                    ecdsa-sha2-nistp256 AAAAE2Vj…
   * ```
   *
   * `queues` is required ({@link QueuePatterns}); `valid-after` and `valid-before` are RFC 3339 timestamps with `Z`, or
   * dates that mean 00:00Z; `alg` is for RSA keys that sign RS256 and not PS256. Values are quoted, and no value contains
   * a quote. Several lines may name the same key; each allows on its own. At most 8 Mi characters, and 32 Ki a line.
   *
   * @throws SetupError with the file, line and column, when anything at all is wrong: `authorized-keys-invalid`,
   *   `key-private-in-public-place`, `key-malformed`, `key-type-unsupported`, `key-too-weak`; `option-invalid` for what is
   *   no string
   */
  static parse(text: string, given: ParseOptions = {}): AuthorizedKeys {
    const options = checkOptions('AuthorizedKeys.parse', given, PARSE_RULES)
    if (typeof text !== 'string') {
      throw new SetupError('option-invalid', "parse() takes texts: read the files with the encoding 'utf8'")
    }
    const allows = parseLines(text, options.file ?? 'authorized_keys')
    const revocations = parseRevokedKeys(options.revokedKeys ?? '', options.revokedKeysFile ?? 'revoked_keys')
    return new AuthorizedKeys({ snapshot: createSnapshot(allows, revocations) })
  }

  /**
   * Keys from a directory, which is watched and read again when it changes, until {@link close}. Files in it:
   *
   * - `authorized_keys`, and any number of parts of it, `billing.authorized_keys`
   * - `revoked_keys`: keys that are compromised, one a line
   * - `queue_policy`: what a verifier demands of a queue's messages, over what the code says
   *
   * It can be a Kubernetes ConfigMap or Secret, mounted as a directory and without `subPath`. All files are of one
   * generation. A generation with anything wrong in it is not used: the last good keys stay in force, with every
   * revocation of before and since. After `staleAfterSeconds` of that {@link snapshot} is undefined, and messages are
   * deferred until the files are mended. A file that was there and is missing or empty counts as wrong, but for a part
   * that was deleted. {@link health} tells.
   *
   * @throws SetupError with file, line and column when anything at all is wrong at the start: `key-file-unreadable`,
   *   `authorized-keys-invalid`, `key-private-in-public-place` for a private key in any file of the directory, other
   *   `key-*`; `option-invalid`
   */
  static async fromDirectory(directory: string, options: DirectoryOptions = {}): Promise<AuthorizedKeys> {
    const checked = checkOptions('AuthorizedKeys.fromDirectory', options, DIRECTORY_RULES)
    return new AuthorizedKeys(await KeyDirectory.open(directory, checked))
  }

  /**
   * Keys from a key store, as it is now: what is added later is not seen. A key store holds one key a name, so a key
   * cannot be replaced without a gap in which messages signed with the other one are refused; to rotate without a gap,
   * write an authorized_keys file, in which a service can have several keys. `revokedKeys` names keys that are compromised.
   *
   * @throws SetupError `option-invalid` when the policy names a service that the store lacks or is malformed,
   *   `service-invalid`, and `key-*` for a key that is unusable
   */
  static fromKeyStore(store: PublicKeyStore, policy: ServicePolicy, options: RevocationOptions = {}): AuthorizedKeys {
    const revoked = revocationsOf(checkOptions('AuthorizedKeys.fromKeyStore', options, REVOCATION_RULES))
    return new AuthorizedKeys({ snapshot: createSnapshot(allowsOfKeyStore(store, policy), revoked) })
  }

  /**
   * Keys from a JWK Set (RFC 7517). The service of a key is its member `service`, else its `kid`, unless `serviceOf` says
   * otherwise; several keys of one service are all accepted. Keys of services that the policy does not name, and keys that
   * are not for signatures, are passed over.
   *
   * With a URL the set is fetched, fetched again every 5 minutes and when an unknown key id is seen (at most every 5
   * seconds), until {@link close}; at most 8 MiB of it, and without following redirects. A key that is gone from the set
   * stops working with the next fetch. While fetching fails, or brings what cannot be used, the keys that are known go on
   * working for a day (`deferAfterSeconds`); then {@link snapshot} is undefined, and messages are deferred until a fetch
   * works again. A JWK Set cannot revoke: `revokedKeys`, or `revokedKeysFile` beside a URL, names keys that are compromised.
   *
   * @throws SetupError `option-invalid` when the policy names a service without a key or is malformed,
   *   `service-invalid`, `key-private-in-public-place`, other `key-*` for a key that is unusable, and `key-file-unreadable`
   *   when the URL cannot be fetched
   */
  static fromJwks(set: JwkSet, policy: ServicePolicy, options?: JwksOptions): AuthorizedKeys
  static fromJwks(url: URL | string, policy: ServicePolicy, options?: RemoteJwksOptions): Promise<AuthorizedKeys>
  static fromJwks(
    source: JwkSet | URL | string,
    servicePolicy: ServicePolicy,
    options: RemoteJwksOptions = {},
  ): AuthorizedKeys | Promise<AuthorizedKeys> {
    if (typeof source === 'string' || source instanceof URL) return openRemote(source)
    const ofSet = checkOptions<JwksOptions>('AuthorizedKeys.fromJwks', options, JWKS_RULES)
    const { allows, missing } = allowsOfJwks(source, new Policy(servicePolicy), ofSet, 'JWKS')
    if (missing !== undefined) throw missing
    return new AuthorizedKeys({ snapshot: createSnapshot(allows, revocationsOf(ofSet)) })

    async function openRemote(url: URL | string): Promise<AuthorizedKeys> {
      const ofUrl = checkOptions('AuthorizedKeys.fromJwks', options, REMOTE_RULES)
      return new AuthorizedKeys(await RemoteJwks.open(url, new Policy(servicePolicy), ofUrl))
    }
  }

  get snapshot(): KeySnapshot | undefined {
    return this.#source.snapshot
  }

  get stale(): boolean {
    return this.#source.stale ?? false
  }

  /** For an orchestrator's probe. Keys that are not read from files are `ok`, or `stale` like {@link stale}. */
  get health(): KeyHealth {
    const own = this.#source.health?.()
    if (own !== undefined) return own
    const { snapshot, stale } = this
    return {
      state: stale ? 'stale' : 'ok',
      ageSeconds: (Date.now() - this.#madeAt.getTime()) / 1000,
      loadedAt: this.#madeAt,
      error: undefined,
      expiring: snapshot === undefined ? [] : expiringLines(snapshot, 14),
      keys: snapshot === undefined ? [] : keyStatuses(snapshot),
    }
  }

  /** Whether a message of this service to this queue would be accepted now, signed with the right key. */
  can(service: string, queue: string): boolean {
    const snapshot = this.snapshot
    if (snapshot === undefined) return false
    const now = Date.now() / 1000
    for (const key of snapshot.keys.values()) {
      if (snapshot.isRevoked(key)) continue
      for (const { services, validAfter = now, validBefore, queues } of key.lines) {
        const isValid = validAfter <= now && (validBefore === undefined || now < validBefore)
        if (isValid && services.includes(service) && queues.matches(queue)) return true
      }
    }
    return false
  }

  /** Stops looking for newer keys. The keys that are known stay. */
  close(): void {
    this.#source.close?.()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
