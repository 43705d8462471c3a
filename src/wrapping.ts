import { SetupError } from './errors.ts'

/**
 * How adapters decorate a client in place: own properties on that one object, never its prototype, so that types,
 * `#private` fields and whoever holds the client already keep working.
 */

export type Role = 'producer' | 'consumer'

/** What is remembered on a wrapped client. */
interface Wrapping {
  /** the signer or verifier, by role */
  readonly by: Map<Role, object>
  readonly originals: Map<string, unknown>
}

/** Registered, so that two copies of this package in one program do not wrap one client twice. */
const WRAPPING: unique symbol = Symbol.for('queue-key-auth.wrapping') as never

interface Wrapped {
  [WRAPPING]?: Wrapping
}

/** Whether messages that this client publishes are signed (`producer`), or those it delivers are checked (`consumer`). */
export function isWrapped(client: unknown, role?: Role): boolean {
  const by = (client as Wrapped | null | undefined)?.[WRAPPING]?.by
  return by !== undefined && (role === undefined ? by.size > 0 : by.has(role))
}

/**
 * Runs `decorate` unless the client is wrapped in that role by the same signer or verifier already. The client counts as
 * wrapped when `decorate` is through; what it throws passes.
 *
 * @returns whether it was wrapped now
 * @throws SetupError `already-wrapped` by another signer or verifier; `client-unsupported` when it cannot be decorated
 */
export function wrapOnce(client: object, role: Role, by: object, decorate: () => void): boolean {
  const wrapping = wrappingOf(client)
  const earlier = wrapping.by.get(role)
  if (earlier === by) return false
  if (earlier !== undefined) {
    const what = role === 'producer' ? 'signer' : 'verifier'
    throw new SetupError(
      'already-wrapped',
      `the client is wrapped by another ${what}; use a client of its own for each`,
    )
  }
  decorate()
  wrapping.by.set(role, by)
  return true
}

/**
 * Puts a method of ours over the client's. It stays replaceable, so that tracers can come on top, and is not enumerable,
 * so that it does not follow spread copies of the client.
 */
export function override<Client extends object, Name extends keyof Client & string>(
  client: Client,
  name: Name,
  method: Client[Name],
): void {
  const { originals } = wrappingOf(client)
  if (!originals.has(name)) originals.set(name, client[name])
  define(client, name, method)
}

/** The client's own method as it was before the first {@link override}, bound to the client. */
export function originalOf<Client extends object, Name extends keyof Client & string>(
  client: Client,
  name: Name,
): Client[Name] {
  const originals = (client as Wrapped)[WRAPPING]?.originals
  const original = originals?.has(name) ? (originals.get(name) as Client[Name]) : client[name]
  return typeof original === 'function' ? original.bind(client) : original
}

function wrappingOf(client: object): Wrapping {
  const known = (client as Wrapped)[WRAPPING]
  if (known !== undefined) return known
  const wrapping: Wrapping = { by: new Map(), originals: new Map() }
  define(client, WRAPPING, wrapping)
  return wrapping
}

function define(client: object, name: PropertyKey, value: unknown): void {
  if (!Reflect.defineProperty(client, name, { value, configurable: true, enumerable: false, writable: true })) {
    throw new SetupError('client-unsupported', 'the client is frozen, so it cannot be wrapped; wrap it before freezing')
  }
}
