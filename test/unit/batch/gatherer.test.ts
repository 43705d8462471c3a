import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, it } from 'vitest'
import { Gatherer } from '../../../src/batch/gatherer.ts'
import { SetupError } from '../../../src/errors.ts'
import type { Message } from '../../../src/message.ts'
import { Signer } from '../../../src/signer.ts'
import { MAX_BATCH_SIZE } from '../../../src/token.ts'

const toQueue = (queue: string): Message => ({ destination: `memory:${queue}`, payload: Buffer.from('x') })

/** A signer whose signatures fail for one destination, as a key would that is gone. */
function failingFor(destination: string): Signer {
  const signer = Signer.generate('checkout')
  const signPrepared = signer.signPrepared.bind(signer)
  return Object.defineProperty(signer, 'signPrepared', {
    value: (prepared: Parameters<Signer['signPrepared']>[0]) => {
      if (prepared.some((each) => 'destination' in each && each.destination === destination)) throw new Error('no key')
      return signPrepared(prepared)
    },
  })
}

/** Adds messages to the gatherer, and notes what becomes of them. */
function gathering(signer: Signer): { add: (queue: string) => void; log: string[]; tokens: string[]; flush(): void } {
  const gatherer = new Gatherer(signer)
  const log: string[] = []
  const tokens: string[] = []
  return {
    log,
    tokens,
    flush: () => gatherer.flush(),
    add: (queue) =>
      gatherer.add(
        toQueue(queue),
        (token) => {
          log.push(`sent ${queue}`)
          tokens.push(token)
        },
        (error) => log.push(`failed ${queue}: ${(error as Error).message}`),
      ),
  }
}

const sharedOf = (token: string | undefined): string | undefined => token?.split('~')[0]

describe('what is published in a tick', () => {
  it('is sent at its end, in order, with one signature a destination', async () => {
    const { add, log, tokens } = gathering(Signer.generate('checkout'))
    for (const queue of ['a', 'b', 'a', 'c', 'b']) add(queue)
    expect(log).toEqual([])
    await undefined
    expect(log).toEqual(['sent a', 'sent b', 'sent a', 'sent c', 'sent b'])
    const [a, b, again, c, other] = tokens
    expect(sharedOf(a)).toBe(sharedOf(again))
    expect(sharedOf(b)).toBe(sharedOf(other))
    expect(new Set([a, b, c].map(sharedOf)).size).toBe(3)
    expect(c).not.toContain('~')
  })

  it('a signature that fails takes along what was to share it, and nothing else', () => {
    const { add, log, flush } = gathering(failingFor('memory:b'))
    for (const queue of ['a', 'b', 'a', 'c', 'b']) add(queue)
    flush()
    expect(log).toEqual(['sent a', 'failed b: no key', 'sent a', 'sent c', 'failed b: no key'])
  })

  it('a send that throws is told to its own publisher, and the others are sent', () => {
    const gatherer = new Gatherer(Signer.generate('checkout'))
    const log: string[] = []
    for (const queue of ['a', 'b', 'c']) {
      const send = (): void => {
        if (queue === 'b') throw new Error('closed')
        log.push(`sent ${queue}`)
      }
      gatherer.add(toQueue(queue), send, (error) => log.push(`failed ${queue}: ${(error as Error).message}`))
    }
    gatherer.flush()
    expect(log).toEqual(['sent a', 'failed b: closed', 'sent c'])
  })

  it('what cannot be signed is refused at once, and the rest waits on', () => {
    const { add, log, flush } = gathering(Signer.generate('checkout'))
    add('a')
    expect(() => add('\u00e4')).toThrow(SetupError)
    flush()
    expect(log).toEqual(['sent a'])
  })

  it('is sent before the end of the tick when it fills a batch', () => {
    const { add, log } = gathering(Signer.generate('checkout'))
    for (let count = 0; count < MAX_BATCH_SIZE; count++) add('a')
    expect(log).toHaveLength(MAX_BATCH_SIZE)
  })

  it('each is sent in the asynchronous context of its publisher', () => {
    const storage = new AsyncLocalStorage<string>()
    const gatherer = new Gatherer(Signer.generate('checkout'))
    const seen: (string | undefined)[] = []
    const publish = (): void =>
      gatherer.add(
        toQueue('a'),
        () => {
          seen.push(storage.getStore())
        },
        () => undefined,
      )
    storage.run('one', publish)
    storage.run('two', publish)
    publish()
    gatherer.flush()
    expect(seen).toEqual(['one', 'two', undefined])
  })
})
