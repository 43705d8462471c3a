import type { Verifier } from '../../src/verifier.ts'
import type { AmqpMessage, ConsumeOptions } from './client.ts'

/** A header that the broker sets on what a stream delivers. On other queues anyone can write it. */
const OFFSET = 'x-stream-offset'

/** Where a message stands in its stream; undefined without a number of the broker's making. */
export function offsetOf({ properties: { headers } }: AmqpMessage): number | undefined {
  if (headers === undefined || !Object.hasOwn(headers, OFFSET)) return undefined
  const offset = headers[OFFSET]
  return typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0 ? offset : undefined
}

/** Whether a consumer names where in a stream it begins. Queues of other types refuse that. */
export function namesOffset({ arguments: table }: ConsumeOptions): boolean {
  const offset = (table as Record<string, unknown> | null | undefined)?.[OFFSET]
  return offset !== undefined && offset !== null
}

/**
 * One consumer of a stream: who reads, and how far. A stream gives nothing back, so what could not be judged is read again
 * from where the first of it stands.
 */
export class StreamReader {
  /** its tag, or the lowest number that no live reader of this stream has, so that it is the same after a reconnect */
  readonly name: string
  readonly #free: () => void
  #ended = false
  /** the last offset that was delivered */
  #seen = -1
  /** offsets up to there that were not judged */
  readonly #again = new Set<number>()

  constructor(verifier: Verifier, queue: string, consumerTag: string | undefined) {
    if (consumerTag) {
      this.name = `tag ${consumerTag}`
      this.#free = () => undefined
      return
    }
    const { readers } = verifier
    const number = readers.take(queue)
    this.name = `reader ${number}`
    this.#free = () => {
      // Once: by then the number may be another's.
      if (!this.#ended) readers.free(queue, number)
      this.#ended = true
    }
  }

  /** False: it was judged before this consumer went back in the stream, and is not to be handled again. */
  takes(raw: AmqpMessage): boolean {
    const offset = offsetOf(raw)
    if (offset === undefined) return true
    if (offset <= this.#seen) return this.#again.delete(offset)
    this.#seen = offset
    return true
  }

  /** It could not be judged, and is settled at the broker. */
  gaveBack(raw: AmqpMessage): void {
    const offset = offsetOf(raw)
    if (offset !== undefined) this.#again.add(offset)
  }

  /** How to consume again from the first message that was not judged. */
  goingOn(options: ConsumeOptions): ConsumeOptions {
    const { arguments: table } = options
    // As the client does: what the user's table inherits counts too.
    const going = Object.assign(Object.create((table ?? null) as object | null), {
      [OFFSET]: Math.min(this.#seen + 1, ...this.#again),
    })
    return { ...options, arguments: going }
  }

  /** It reads no more: its number is free. */
  end(): void {
    this.#free()
  }
}
