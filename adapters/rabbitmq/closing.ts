import { override } from '../../src/wrapping.ts'
import { type Callback, type ChannelLike, type ConnectionLike, invoke } from './client.ts'

/** How long the answer to a channel that is closing already is waited for. */
const ANSWER_MS = 5_000

/**
 * Closing a connection ends its channels at once, and its farewell overtakes what they wrote just before: messages that
 * were published are lost, settlements come undone. So the channels that have something to lose are closed first.
 *
 * @param closings closes each of them; what fails is closed already
 */
export function closeFirst(connection: ConnectionLike, closings: () => readonly (() => Promise<unknown>)[]): void {
  const close = connection.close.bind(connection)
  let closing: Promise<unknown> | undefined
  override(connection, 'close', (callback?: Callback) => {
    if (closing === undefined) {
      const first = closings()
      if (first.length === 0) return close(callback)
      closing = Promise.allSettled(first.map((closeOne) => closeOne()))
        .then(() => invoke(close))
        .finally(() => {
          closing = undefined
        })
    }
    if (callback === undefined) return closing
    closing.then(
      () => callback(null),
      (error) => callback(error),
    )
    return undefined
  })
}

/** The channels of one connection that have published something. */
export class Publishers {
  readonly #channels = new Set<ChannelLike>()

  add(channel: ChannelLike): void {
    if (this.#channels.has(channel)) return
    this.#channels.add(channel)
    channel.on('close', () => this.#channels.delete(channel))
  }

  /** The broker answers when it has taken all that the channel sent. */
  closings(): (() => Promise<unknown>)[] {
    return [...this.#channels].map((channel) => () => closeOrWait(channel))
  }
}

/** One that is closing already throws, and its answer has to be waited for as well. */
async function closeOrWait(channel: ChannelLike): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const gone = new Promise<void>((resolve) => {
    channel.on('close', resolve)
    timer = setTimeout(resolve, ANSWER_MS)
  })
  try {
    await invoke(channel.close.bind(channel))
  } catch {
    await gone
  } finally {
    clearTimeout(timer)
  }
}
