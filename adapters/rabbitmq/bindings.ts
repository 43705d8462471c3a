import { override } from '../../src/wrapping.ts'
import { type Callback, type ChannelLike, isThenable } from './client.ts'

/**
 * Which addresses can be meant for a queue, as far as the wrapped client declared them itself. A message shows the first
 * routing key only: with `CC` and `BCC` its sender names others, and by which of them it came to a queue nobody says.
 */

interface Binding {
  readonly exchange: string
  readonly pattern: string
}

/** The methods of a channel that declare how messages go. */
interface Declaring {
  bindQueue(queue: unknown, exchange: unknown, pattern: unknown, ...rest: unknown[]): unknown
  bindExchange(destination: unknown, source: unknown, pattern: unknown, ...rest: unknown[]): unknown
  assertExchange(exchange: unknown, type: unknown, options?: unknown, ...rest: unknown[]): unknown
  assertQueue(queue: unknown, ...rest: unknown[]): unknown
}

/** The most queues and exchanges whose bindings are kept; the oldest give way. */
const MOST = 10_000

/** What is known of one wrapped client's queues and exchanges. Nothing is forgotten: messages may wait that came by it. */
export class Bindings {
  /** changes whenever something more is known */
  version = 0
  readonly #ofQueues = new Map<string, Binding[]>()
  readonly #ofExchanges = new Map<string, Binding[]>()
  readonly #types = new Map<string, string>([
    ['amq.direct', 'direct'],
    ['amq.topic', 'topic'],
    ['amq.fanout', 'fanout'],
    ['amq.headers', 'headers'],
    ['amq.match', 'headers'],
  ])

  /**
   * Whether a message of this exchange and routing key can have come to the queue by that key; undefined: nothing is known
   * of the queue.
   */
  leads(exchange: string, routingKey: string, queue: string): boolean | undefined {
    const bindings = this.#ofQueues.get(queue)
    if (bindings === undefined || bindings.length === 0) return undefined
    return bindings.some((last) => this.#passes(last, routingKey) && this.#reaches(exchange, last.exchange, routingKey))
  }

  /** One that a message of the queue would have come by. */
  someOf(queue: string): Binding | undefined {
    return this.#ofQueues.get(queue)?.[0]
  }

  /** @returns takes it back, for a declaration that failed */
  addQueue(queue: string, binding: Binding): () => void {
    return this.#add(this.#ofQueues, queue, binding)
  }

  /** The same for a binding between exchanges. */
  addExchange(destination: string, binding: Binding): () => void {
    return this.#add(this.#ofExchanges, destination, binding)
  }

  setType(exchange: string, type: string): void {
    this.version++
    this.#types.set(exchange, type)
  }

  #add(known: Map<string, Binding[]>, name: string, binding: Binding): () => void {
    this.version++
    const bindings = known.get(name) ?? []
    bindings.push(binding)
    known.set(name, bindings)
    const [oldest] = known.keys()
    if (known.size > MOST && oldest !== undefined) known.delete(oldest)
    return () => {
      this.version++
      bindings.splice(bindings.indexOf(binding), 1)
    }
  }

  /** Whether a binding lets a routing key through. What it does is not known where its exchange was declared elsewhere. */
  #passes({ exchange, pattern }: Binding, routingKey: string): boolean {
    const type = this.#types.get(exchange) ?? (hasWildcard(pattern) ? 'topic' : undefined)
    if (type === 'topic') return matchesTopic(pattern, routingKey)
    return type === 'direct' ? pattern === routingKey : true
  }

  /** Along one of the ways between exchanges that are known; where none is known there may be others. */
  #reaches(from: string, to: string, routingKey: string): boolean {
    if (from === to || !this.#isBefore(from, to, () => true)) return true
    return this.#isBefore(from, to, (binding) => this.#passes(binding, routingKey))
  }

  #isBefore(from: string, to: string, passes: (binding: Binding) => boolean): boolean {
    const seen = new Set([to])
    for (const exchange of seen) {
      for (const binding of this.#ofExchanges.get(exchange) ?? []) if (passes(binding)) seen.add(binding.exchange)
    }
    return seen.has(from)
  }
}

/** From now on what the channel declares is known. */
export function watchBindings(channel: ChannelLike, bindings: Bindings): void {
  const declaring = channel as unknown as Declaring
  const { bindQueue, bindExchange, assertExchange, assertQueue } = declaring
  if ([bindQueue, bindExchange, assertExchange].some((method) => typeof method !== 'function')) return
  /** what the broker takes the empty name for */
  let last: string | undefined
  override(declaring, 'assertQueue', (queue, ...rest) => {
    last = typeof queue === 'string' && queue !== '' ? queue : undefined
    return assertQueue.call(channel, queue, ...rest)
  })
  override(declaring, 'bindQueue', (queue, exchange, pattern, ...rest) => {
    const name = queue === '' ? last : queue
    const undo =
      typeof name === 'string' && name !== '' ? bindings.addQueue(name, bindingOf(exchange, pattern)) : undefined
    const callbacks = undo === undefined ? rest : withUndo(rest, undo)
    return answered(bindQueue.call(channel, queue, exchange, pattern, ...callbacks), undo)
  })
  override(declaring, 'bindExchange', (destination, source, pattern, ...rest) => {
    const undo = bindings.addExchange(String(destination), bindingOf(source, pattern))
    return answered(bindExchange.call(channel, destination, source, pattern, ...withUndo(rest, undo)), undo)
  })
  override(declaring, 'assertExchange', (exchange, type, options, ...rest) => {
    const { alternateExchange, arguments: table } = (options ?? {}) as {
      alternateExchange?: unknown
      arguments?: Readonly<Record<string, unknown>>
    }
    const delayed = table?.['x-delayed-type']
    bindings.setType(String(exchange), String(type === 'x-delayed-message' && delayed !== undefined ? delayed : type))
    const alternate = alternateExchange ?? table?.['alternate-exchange']
    // What no binding takes goes there under any key.
    if (typeof alternate === 'string') bindings.addExchange(alternate, { exchange: String(exchange), pattern: '' })
    return assertExchange.call(channel, exchange, type, options, ...rest)
  })
}

function bindingOf(exchange: unknown, pattern: unknown): Binding {
  return { exchange: String(exchange ?? '').toWellFormed(), pattern: String(pattern ?? '').toWellFormed() }
}

/** In the callback API the last argument hears what became of it. */
function withUndo(rest: readonly unknown[], undo: () => void): unknown[] {
  return rest.map((argument) => {
    if (typeof argument !== 'function') return argument
    return (error: unknown, ok: unknown) => {
      if (error) undo()
      ;(argument as Callback)(error, ok)
    }
  })
}

/** What the method gave; in the promise API also when it failed. */
function answered(made: unknown, undo: (() => void) | undefined): unknown {
  if (undo === undefined || !isThenable(made)) return made
  return made.then(undefined, (error) => {
    undo()
    throw error
  })
}

function hasWildcard(pattern: string): boolean {
  return pattern.split('.').some((word) => word === '*' || word === '#')
}

/** As the broker matches: words between dots, `*` for one and `#` for any number of them. */
export function matchesTopic(pattern: string, routingKey: string): boolean {
  const wanted = words(pattern)
  const given = words(routingKey)
  // Back to the last "#" where a word does not fit: it takes one more then.
  let [at, index, many, resume] = [0, 0, -1, 0]
  while (index < given.length) {
    if (wanted[at] === '#') {
      many = at++
      resume = index
    } else if (at < wanted.length && (wanted[at] === '*' || wanted[at] === given[index])) {
      at++
      index++
    } else if (many >= 0) {
      at = many + 1
      index = ++resume
    } else return false
  }
  while (wanted[at] === '#') at++
  return at === wanted.length
}

function words(text: string): string[] {
  return text === '' ? [] : text.split('.')
}
