import { QueuePatterns } from '../../src/authorized-keys/patterns.ts'
import { SetupError } from '../../src/errors.ts'
import type { Signer } from '../../src/signer.ts'
import { override } from '../../src/wrapping.ts'
import type { CommandLike, RedisClient } from './client.ts'
import { EntrySigner } from './entry-signer.ts'
import { decoratePipelines } from './pipelines.ts'
import { mapRefusal } from './refuse.ts'

export interface ProducerOptions {
  /** patterns of the physical keys to sign, such as `orders.*`; entries of other streams pass as they are. Default: all */
  readonly streams?: readonly string[]
  /**
   * The entries that one pipeline, one MULTI or one turn of autopipelining adds to the same stream share one signature: a
   * fraction of the CPU for 350 bytes more an entry. Default: false
   */
  readonly batch?: boolean
}

/**
 * Every way to XADD ends in `sendCommand` of the client: the methods, `call`, pipelines, MULTI and autopipelining, and it
 * sees the physical key. What a pipeline has queued is signed together before that, when it is about to be sent.
 */
export function signCommands(client: RedisClient, signer: Signer, { streams, batch }: ProducerOptions): void {
  const entries = new EntrySigner(signer, streams === undefined ? undefined : parsePatterns(streams))
  const send = client.sendCommand.bind(client) as (command: CommandLike, ...rest: unknown[]) => unknown
  override(client, 'sendCommand', (command: CommandLike, ...rest: unknown[]) => {
    if (isXadd(command)) {
      entries.sign(command)
      mapRefusal(command)
    }
    return send(command, ...rest)
  })
  if (!batch) return
  decoratePipelines(client, (pipeline) => {
    const exec = pipeline.exec
    override(pipeline, 'exec', (...args) => {
      entries.signTogether(pipeline._queue.filter(isXadd))
      return exec.apply(pipeline, args)
    })
  })
}

function isXadd({ name }: CommandLike): boolean {
  return name.length === 4 && name.toLowerCase() === 'xadd'
}

function parsePatterns(streams: readonly string[]): QueuePatterns {
  try {
    return QueuePatterns.parse(streams)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    throw new SetupError('option-invalid', `streams: ${error.message}`)
  }
}
