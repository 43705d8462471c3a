import { SetupError, type SourcePosition } from '../errors.ts'
import { defaultAlgorithm } from '../keys/algorithms.ts'
import type { PublicKey } from '../keys/public-key.ts'
import { quote } from '../text.ts'
import { isServiceName } from '../token.ts'
import { QueuePatterns } from './patterns.ts'
import type { Allow } from './snapshot.ts'

/**
 * Which services may send to which queues: queue patterns (several separated by commas, `!` for a veto, as in an
 * authorized_keys file) to the names of services.
 *
 * ```ts
 * { 'orders.*,invoices': ['checkout'], '**,!payments.**': ['reporting', 'etl'] }
 * ```
 */
export type ServicePolicy = Readonly<Record<string, readonly string[]>>

/** A policy that was checked. */
export class Policy {
  /** every service that is named, once */
  readonly services: ReadonlySet<string>
  readonly #rules: readonly { readonly queues: QueuePatterns; readonly services: ReadonlySet<string> }[]

  /** @throws SetupError `option-invalid`, `service-invalid` */
  constructor(policy: ServicePolicy) {
    if (typeof policy !== 'object' || policy === null || Array.isArray(policy)) {
      throw new SetupError('option-invalid', "a policy is an object such as { 'orders.*': ['checkout'] }")
    }
    this.#rules = Object.entries(policy).map(([queues, services]) => ({
      queues: queuesOf(queues),
      services: servicesOf(queues, services),
    }))
    this.services = new Set(this.#rules.flatMap((rule) => [...rule.services]))
  }

  /** What this policy allows the key of a service: a line for every entry that names the service. */
  allows(service: string, key: PublicKey, position: SourcePosition): Allow[] {
    const line = {
      services: Object.freeze([service]),
      algorithm: key.algorithm ?? defaultAlgorithm(key.type),
      validAfter: undefined,
      validBefore: undefined,
      position: Object.freeze(position),
    }
    return this.#rules
      .filter((rule) => rule.services.has(service))
      .map((rule) => ({ key, line: Object.freeze({ ...line, queues: rule.queues }) }))
  }

  /**
   * The error for services that no key was found for; undefined when there is none.
   *
   * @param advice what to do, after the names
   */
  missing(found: ReadonlySet<string>, advice: string): SetupError | undefined {
    const missing = [...this.services].filter((service) => !found.has(service))
    if (missing.length === 0) return undefined
    const names = missing.slice(0, 10).map((service) => quote(service))
    const more = missing.length > names.length ? ` and ${missing.length - names.length} more` : ''
    return new SetupError(
      'option-invalid',
      `the policy names ${names.join(', ')}${more}, but there is no key: ${advice}`,
    )
  }
}

function queuesOf(queues: string): QueuePatterns {
  try {
    return QueuePatterns.parse(queues)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    throw new SetupError('option-invalid', `the policy for ${quote(queues)}: ${error.message}`, { cause: error })
  }
}

function servicesOf(queues: string, services: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(services)) {
    throw new SetupError(
      'option-invalid',
      `the policy for ${quote(queues)} needs an array of services, such as ['checkout']`,
    )
  }
  for (const service of services) {
    if (typeof service === 'string' && isServiceName(service)) continue
    const rule = 'up to 128 letters, digits and . _ / - with a letter or digit at both ends'
    throw new SetupError(
      'service-invalid',
      `the policy for ${quote(queues)}: ${quote(String(service))} is no service name, ${rule}`,
    )
  }
  return new Set(services)
}
