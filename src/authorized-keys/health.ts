import type { SetupError, SetupErrorCode } from '../errors.ts'
import { visible } from '../text.ts'
import type { AuthorizedKey, KeySnapshot } from './snapshot.ts'

/** The state of a source of keys, for an orchestrator's probe: plain data that `JSON.stringify` writes as it is. */
export interface KeyHealth {
  /**
   * `ok`: the keys in force are what their source says now. `broken`: it cannot be used, and the last good keys are in
   * force, with every revocation of before and since. `stale`: that has lasted too long, and messages are deferred.
   */
  readonly state: 'ok' | 'broken' | 'stale'
  /** seconds since the source was last found in order */
  readonly ageSeconds: number
  /** when the keys in force were loaded */
  readonly loadedAt: Date
  /** what is wrong with the source; undefined when nothing is */
  readonly error: KeyFault | undefined
  /** lines whose valid-before is near or over, the nearest first */
  readonly expiring: readonly ExpiringLine[]
  /** every key, in the order of the lines */
  readonly keys: readonly KeyStatus[]
}

/** What is wrong, and where, for people: control characters in names are escaped. Lines and columns count from 1. */
export interface KeyFault {
  readonly code: SetupErrorCode
  readonly message: string
  readonly file?: string
  readonly line?: number
  readonly column?: number
}

export interface ExpiringLine {
  readonly services: readonly string[]
  readonly queues: readonly string[]
  readonly fingerprint: string
  /** messages signed then or later are refused */
  readonly validBefore: Date
  readonly file?: string
  readonly line?: number
}

export interface KeyStatus {
  /** the token's `kid` */
  readonly keyId: string
  readonly fingerprint: string
  readonly services: readonly string[]
  readonly revoked: boolean
  /** when this process last accepted a message that was signed with it */
  readonly lastUsedAt: Date | undefined
}

export function faultOf({ code, message, position = {} }: SetupError): KeyFault {
  const file = position.file === undefined ? {} : { file: visible(position.file) }
  return Object.freeze({ code, message: visible(message), ...position, ...file })
}

/** @param withinDays lines that end later than that are not listed */
export function expiringLines(snapshot: KeySnapshot, withinDays: number): ExpiringLine[] {
  const until = Date.now() / 1000 + withinDays * 86_400
  const lines: ExpiringLine[] = []
  for (const key of snapshot.keys.values()) {
    if (snapshot.isRevoked(key)) continue
    for (const { services, queues, validBefore, position } of key.lines) {
      if (validBefore === undefined || validBefore > until) continue
      lines.push({
        services,
        queues: queues.patterns,
        fingerprint: key.fingerprint,
        validBefore: new Date(validBefore * 1000),
        ...(position.file !== undefined && { file: visible(position.file) }),
        ...(position.line !== undefined && { line: position.line }),
      })
    }
  }
  return lines.sort((a, b) => a.validBefore.getTime() - b.validBefore.getTime())
}

export function keyStatuses(snapshot: KeySnapshot): KeyStatus[] {
  return Array.from(snapshot.keys.values(), (key) => keyStatus(key, snapshot))
}

function keyStatus(key: AuthorizedKey, snapshot: KeySnapshot): KeyStatus {
  const { lastUsedAt } = key.usage
  return {
    keyId: key.keyId,
    fingerprint: key.fingerprint,
    services: [...new Set(key.lines.flatMap((line) => line.services))],
    revoked: snapshot.isRevoked(key),
    lastUsedAt: lastUsedAt === undefined ? undefined : new Date(lastUsedAt),
  }
}
