/**
 * What tells a client of ioredis from everything else. Tried on ioredis 5.0.0, 5.11.1 and 6.0.0, and on its fork iovalkey
 * 0.4.0; nothing of theirs is imported, and nothing of the client is called.
 */

/** What the class of a client has itself, `Redis` and `Cluster` alike. */
const CLIENT_METHODS = [
  'sendCommand',
  'connect',
  'disconnect',
  'duplicate',
  'setStatus',
  'flushQueue',
  'resetOfflineQueue',
]

/** What the class above it has, which turns methods into commands: every one of them ends in `sendCommand`. */
const COMMANDER_METHODS = [
  'getBuiltinCommands',
  'createBuiltinCommand',
  'defineCommand',
  'send_command',
  'call',
  'callBuffer',
  'xadd',
  'xaddBuffer',
  'xreadgroupBuffer',
]

/** How far up classes are looked for: those of users come before those of ioredis. */
const MOST_CLASSES = 20

/**
 * Whether this is a `Redis` or a `Cluster` of ioredis 5 or 6, or of its fork iovalkey: subclasses, instances under a tracer
 * and connections that frameworks made too. Never throws.
 *
 * Their classes keep the methods for commands on one prototype and what sends them on another, below it, which neither a
 * plain object nor another client has; and each instance has the state that belongs to it.
 */
export function isIoredis(client: unknown): boolean {
  if (typeof client !== 'object' || client === null) return false
  try {
    return hasState(client as Record<string, unknown>) && hasClasses(client)
  } catch {
    // A Proxy that throws: whatever it is, it is not known.
    return false
  }
}

function hasState(client: Record<string, unknown>): boolean {
  const { status, isCluster, options, offlineQueue } = client
  return (
    typeof status === 'string' &&
    typeof options === 'object' &&
    options !== null &&
    typeof (offlineQueue as { shift?: unknown } | undefined)?.shift === 'function' &&
    isA(client.addedBuiltinSet, 'Set') &&
    isA(client._autoPipelines, 'Map') &&
    (isCluster === true
      ? Array.isArray(client.slots) && typeof client.connectionPool === 'object'
      : isCluster === false && typeof client.connector === 'object')
  )
}

function hasClasses(client: object): boolean {
  let foundClient = false
  let prototype = Reflect.getPrototypeOf(client)
  for (let depth = 0; prototype !== null && depth < MOST_CLASSES; depth++) {
    if (!foundClient) foundClient = hasAll(prototype, CLIENT_METHODS)
    else if (hasAll(prototype, COMMANDER_METHODS)) return true
    prototype = Reflect.getPrototypeOf(prototype)
  }
  return false
}

function hasAll(prototype: object, methods: readonly string[]): boolean {
  return methods.every((name) => typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === 'function')
}

/** Of whichever realm: a test runner gives each test file globals of its own. */
function isA(value: unknown, type: string): boolean {
  return Object.prototype.toString.call(value) === `[object ${type}]`
}
