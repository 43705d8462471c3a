import { SetupError } from '../../src/errors.ts'
import { TOKEN_HEADER } from '../../src/message.ts'
import { override } from '../../src/wrapping.ts'
import type { ChannelLike } from './client.ts'
import { isEmpty } from './headers.ts'

/** Where a channel hands what it publishes to its connection, in amqplib's own words. */
interface Outlet {
  sendMessage?: (fields: unknown, properties: Stamped, content: unknown) => boolean
}

interface Stamped {
  readonly headers: Record<string, unknown>
}

/** The options of a `publish`, snapshot for it alone. */
interface Options {
  headers: Readonly<Record<string, unknown>>
}

/**
 * Puts tokens among the headers that a channel sends.
 *
 * amqplib sends an object of its own, which inherits from the headers that it was given. Whatever is inherited from gets a
 * hidden class of its own from Node.js, which stays, with all that it holds, until the next full collection: a fifth of a
 * producer's CPU time. So a token goes into amqplib's own object, and messages without other headers all inherit from one.
 */
export class Stamp {
  readonly #isAvailable: boolean
  #token: string | undefined
  /** undefined while a message has them */
  #noHeaders: Record<string, unknown> | undefined

  constructor(channel: ChannelLike) {
    const outlet = channel as Outlet
    const { sendMessage } = outlet
    this.#isAvailable = typeof sendMessage === 'function'
    if (sendMessage === undefined) return
    override(outlet as Required<Outlet>, 'sendMessage', (fields, properties, content) => {
      if (this.#token !== undefined) {
        properties.headers[TOKEN_HEADER] = this.#token
        this.#token = undefined
      }
      return sendMessage.call(channel, fields, properties, content)
    })
  }

  /** For a message that keeps the headers it has, published by a hook while another is: it must not take that one's token. */
  leaveOut(publish: () => boolean): boolean {
    const outer = this.#token
    this.#token = undefined
    try {
      return publish()
    } finally {
      this.#token = outer
    }
  }

  /** @param publish sends a message with these options, before it returns */
  publish(token: string, options: Options, publish: () => boolean): boolean {
    if (!this.#isAvailable) {
      options.headers = Object.assign(Object.create(null), options.headers, { [TOKEN_HEADER]: token })
      return publish()
    }
    // A tracer's hook may publish, too.
    const outer = this.#token
    const lent = isEmpty(options.headers) ? (this.#noHeaders ?? {}) : undefined
    if (lent !== undefined) {
      options.headers = lent
      this.#noHeaders = undefined
    }
    this.#token = token
    try {
      const writable = publish()
      if (this.#token === token) throw unknownWay()
      return writable
    } finally {
      this.#token = outer
      // What a tracer adds belongs to this message only.
      if (lent !== undefined && isEmpty(lent)) this.#noHeaders = lent
    }
  }
}

function unknownWay(): SetupError {
  return new SetupError(
    'client-unsupported',
    'a message was sent without its token, since this version of amqplib sends in a way that is not known here; use another',
  )
}
