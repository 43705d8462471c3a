import { UnstorableError } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import { Acknowledger } from './acknowledger.ts'
import type { RedisClient } from './client.ts'
import { deadLetterStreamOf, type Explanation, FORMS, type Form, MAX_SCRIPT_FIELDS } from './dead-letter-form.ts'
import type { StreamEntry } from './message.ts'

/**
 * When XADD fails the script ends there, so that nothing is acknowledged. In a MULTI the XACK would run all the same.
 *
 * An entry that is not pending any more, and still in its stream, was settled by an earlier run of this script (a reply was
 * lost, or the entry was read again meanwhile) or by somebody else: no second letter. One that is gone from its stream
 * may be nowhere else than in our hands, so it is stored in any case.
 */
const STORE_AND_ACKNOWLEDGE = `
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if not pending.err and #pending == 0 then
  local entry = redis.pcall('XRANGE', KEYS[1], ARGV[2], ARGV[2])
  if not entry.err and #entry == 1 then return 0 end
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
`

/** Errors that are about this entry, not about the server or the stream. */
const ABOUT_THE_ENTRY = /too many results to unpack|too large to be stored|exceeds maximum allowed|string length/i

/** Writes dead letters and acknowledges what they are about, over a connection that no wrapper covers and no read blocks. */
export class DeadLetterSink {
  readonly #open: () => RedisClient
  readonly #nameOf: (stream: string) => string
  readonly #acknowledger: Acknowledger

  constructor(open: () => RedisClient, nameOf: (stream: string) => string = deadLetterStreamOf) {
    this.#open = open
    this.#acknowledger = new Acknowledger(open)
    this.#nameOf = nameOf
  }

  /** @throws SetupError `option-invalid` */
  nameOf(stream: string): string {
    const name = this.#nameOf(stream)
    if (name !== stream && name !== '') return name
    throw new SetupError('option-invalid', `deadLetterName gives ${quote(name)} for ${quote(stream)}; name another key`)
  }

  /**
   * Resolves when the server has the dead letter and the entry is acknowledged.
   *
   * @param parked it came back too often: it goes where nothing sends it back
   */
  async store(entry: StreamEntry, explanation: Explanation, parked = false): Promise<void> {
    const letters = this.nameOf(entry.stream)
    const name = parked ? `${letters}:parked` : letters
    for (const make of FORMS) {
      const form = make(entry, explanation)
      if (form.length > MAX_SCRIPT_FIELDS) continue
      try {
        return await this.#write(name, entry, form)
      } catch (error) {
        if (!ABOUT_THE_ENTRY.test(messageOf(error))) throw error
      }
    }
    throw new UnstorableError(`no form of it can be written to the stream ${quote(name)}`)
  }

  acknowledge(entry: StreamEntry): Promise<void> {
    return this.#acknowledger.acknowledge(entry)
  }

  async #write(name: string, entry: StreamEntry, form: Form): Promise<void> {
    const { stream, group, id } = entry
    const connection = this.#open()
    try {
      await connection.call('EVAL', STORE_AND_ACKNOWLEDGE, 2, stream, name, group, id, ...form)
    } catch (error) {
      // Only where deadLetterName names a key of another slot.
      if (!messageOf(error).startsWith('CROSSSLOT')) throw error
      await connection.call('XADD', name, '*', ...form)
      await this.acknowledge(entry)
    }
  }

  /** What is wrong with the stream for dead letters; undefined: nothing that could be seen. */
  async faultOf(stream: string): Promise<string | undefined> {
    const name = this.nameOf(stream)
    const type = String(await this.#open().call('TYPE', name))
    if (type === 'none' || type === 'stream') return undefined
    return `${quote(name)} is to be the stream for dead letters, but is a ${type}`
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}
