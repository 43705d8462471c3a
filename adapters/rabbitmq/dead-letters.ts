import { randomUUID } from 'node:crypto'
import { isParked, UnstorableError } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import { type ChannelLike, invoke } from './client.ts'
import { ChannelGone, ConfirmedChannel, codeOf, Unencodable, Unroutable } from './confirmed-channel.ts'
import { type AmqpDeadLetter, FORMS, type Form, fits } from './dead-letter-form.ts'

/** The broker turns this form of the letter down, however often it is tried. */
class TurnedDown extends Error {}

/** AMQP reply codes that are about the message: content too large, precondition failed (message too large), frame errors. */
const ABOUT_THE_MESSAGE: ReadonlySet<unknown> = new Set([311, 406, 501, 502])

const NOT_FOUND = 404
const PRECONDITION_FAILED = 406

/** No queue can be declared with these arguments. */
const IMPOSSIBLE = { durable: true, arguments: { 'x-expires': 0 } }

/**
 * Writes dead letters to durable queues, over a confirm channel of its own on the consumer's connection: persistent, and
 * `mandatory`, since the broker confirms a message that no queue takes.
 */
export class DeadLetterSink {
  readonly #connection: { readonly frameMax?: unknown }
  readonly #open: () => Promise<ChannelLike>
  readonly #prepared = new Map<string, Promise<void>>()
  #shared: Promise<ConfirmedChannel> | undefined
  /** settles when the last letter that has a channel of its own is through */
  #alone: Promise<void> = Promise.resolve()

  /**
   * @param connection amqplib's low-level connection
   * @param open opens a channel in confirm mode that no wrapper covers
   */
  constructor(connection: object, open: () => Promise<ChannelLike>) {
    this.#connection = connection
    this.#open = open
  }

  /**
   * Makes sure that dead letters can be stored: their queue is there, or this user may declare it. It is declared when the
   * first of them needs it, so that none stays behind for a queue that never has any, and somebody else's declaration
   * goes before ours.
   *
   * @throws SetupError `dead-letters-unavailable`
   */
  async prepare(queue: string): Promise<void> {
    const preparing = this.#prepared.get(queue) ?? this.#look(queue)
    this.#prepared.set(queue, preparing)
    try {
      await preparing
    } catch (error) {
      this.#prepared.delete(queue)
      throw error
    }
  }

  /** Resolves when the broker has the dead letter on disk or with its replicas. */
  async store(queue: string, letter: AmqpDeadLetter): Promise<void> {
    // The first deliveries come while the queue is still being looked up; a broker in need reads no more after a publish.
    await this.prepare(queue)
    const target = isParked(letter) ? `${queue}.parked` : queue
    const id = randomUUID()
    for (const make of FORMS) {
      const forms = make(letter, id)
      if (!forms.every((form) => fits(form, this.#connection.frameMax))) continue
      try {
        return await this.#publishAll(target, forms, id)
      } catch (error) {
        // Anyone can have a message parked. Where this user may not declare a place for that, it must not hold up others.
        if (error instanceof SetupError && target !== queue) return await this.#publishAll(queue, forms, id)
        if (!(error instanceof TurnedDown || error instanceof Unencodable)) throw error
      }
    }
    throw new UnstorableError(`the broker takes no form of it in queue ${quote(target)}`)
  }

  async #publishAll(queue: string, forms: readonly Form[], id: string): Promise<void> {
    for (const form of forms) await this.#publish(queue, form, id)
  }

  /** A channel error hits every letter under way. Which one caused it shows when each is tried on a channel of its own. */
  async #publish(queue: string, form: Form, id: string, declared = false): Promise<void> {
    this.#shared ??= ConfirmedChannel.open(this.#open)
    const shared = this.#shared
    try {
      await (await shared).publish(queue, form, id)
    } catch (error) {
      if (error instanceof Unroutable && !declared) {
        await this.#declare(queue)
        return await this.#publish(queue, form, id, true)
      }
      if (error instanceof Unroutable || error instanceof Unencodable) throw error
      // Refused by a full queue (nacked), the channel is as good as before; else the next letter opens another.
      const gone = error instanceof ChannelGone || (await isRejected(shared))
      if (gone && this.#shared === shared) this.#shared = undefined
      if (!(error instanceof ChannelGone && ABOUT_THE_MESSAGE.has(error.replyCode))) throw error
      await this.#publishAlone(queue, form, id)
    }
  }

  /** One after the other: the channels of a connection are for everybody. */
  #publishAlone(queue: string, form: Form, id: string): Promise<void> {
    const published = this.#alone.then(() => this.#publishOnItsOwn(queue, form, id))
    this.#alone = published.catch(() => undefined)
    return published
  }

  async #publishOnItsOwn(queue: string, form: Form, id: string): Promise<void> {
    const alone = await ConfirmedChannel.open(this.#open)
    try {
      await alone.publish(queue, form, id)
    } catch (error) {
      if (error instanceof ChannelGone && ABOUT_THE_MESSAGE.has(error.replyCode)) throw new TurnedDown()
      throw error
    } finally {
      await alone.close()
    }
  }

  async #look(queue: string): Promise<void> {
    const looking = await ConfirmedChannel.open(this.#open)
    try {
      await invoke(looking.channel.checkQueue.bind(looking.channel), queue)
      await looking.close()
    } catch (error) {
      if (codeOf(error) !== NOT_FOUND) throw unavailable(queue, error)
      await this.#checkPermission(queue)
    }
  }

  /** The broker looks at the permission first and at the arguments then, so a declaration that cannot succeed tells. */
  async #checkPermission(queue: string): Promise<void> {
    const asking = await ConfirmedChannel.open(this.#open)
    try {
      await invoke(asking.channel.assertQueue.bind(asking.channel), queue, IMPOSSIBLE)
      await asking.close()
    } catch (error) {
      if (codeOf(error) !== PRECONDITION_FAILED) throw unavailable(queue, error)
    }
  }

  async #declare(queue: string): Promise<void> {
    const declaring = await ConfirmedChannel.open(this.#open)
    try {
      await invoke(declaring.channel.assertQueue.bind(declaring.channel), queue, { durable: true })
    } catch (error) {
      // Declared meanwhile, by somebody who wants it otherwise.
      if (codeOf(error) !== PRECONDITION_FAILED) throw unavailable(queue, error)
    } finally {
      await declaring.close()
    }
  }
}

function isRejected(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => false,
    () => true,
  )
}

function unavailable(queue: string, cause: unknown): SetupError {
  return new SetupError(
    'dead-letters-unavailable',
    `dead-letter queue ${quote(queue)} cannot be used; declare it, allow this user to, or pass deadLetter or onRejected`,
    { cause },
  )
}
