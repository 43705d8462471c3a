import { setImmediate as turn } from 'node:timers/promises'
import { runInNewContext } from 'node:vm'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import type * as Memory from '../../adapters/memory/index.ts'
import type * as Core from '../../src/index.ts'
import type * as Testing from '../../src/testing.ts'

/**
 * A program that uses `import` here and `require` there may load the package twice (docs/commonjs.md). These are two
 * copies of the sources; test/packaging/both-builds.test.ts does the same with what is published.
 */

interface Copy {
  readonly core: typeof Core
  readonly memory: typeof Memory
  readonly testing: typeof Testing
}

let one: Copy
let other: Copy

async function load(): Promise<Copy> {
  vi.resetModules()
  return {
    core: await import('../../src/index.ts'),
    memory: await import('../../adapters/memory/index.ts'),
    testing: await import('../../src/testing.ts'),
  }
}

beforeAll(async () => {
  one = await load()
  other = await load()
})

/** Both ways: whose signer and keys, and whose adapter. */
const PAIRS: readonly (readonly [string, () => readonly [Copy, Copy]])[] = [
  ['signer and verifier of one, adapter of the other', () => [one, other]],
  ['signer and verifier of the other, adapter of one', () => [other, one]],
]

function codeOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return (error as Core.SetupError).code
  }
  return undefined
}

it('are two copies indeed', () => {
  expect(one.core.Signer).not.toBe(other.core.Signer)
  expect(one.memory.MemoryClient).not.toBe(other.memory.MemoryClient)
})

describe.each(PAIRS)('two copies: %s', (_, pair) => {
  it('sign, check, reject and tell the sender', async () => {
    const [keys, adapter] = pair()
    const { signer, verifier } = keys.testing.testKeys('checkout', 'orders')
    const verdicts: string[] = []
    const stop = keys.core.subscribe('queue-key-auth:verdict', ({ verdict }) => verdicts.push(verdict.outcome))
    const broker = new keys.memory.MemoryBroker()
    const producer = adapter.memory.wrapProducer(broker.connect(), signer)
    const consumer = adapter.memory.wrapConsumer(broker.connect(), verifier)
    const senders: unknown[] = []
    await consumer.consume('orders', (message) => {
      senders.push([keys.core.senderOf(message)?.service, adapter.core.senderOf(message)?.service])
      consumer.ack(message)
    })
    producer.publish('orders', Buffer.from('signed'))
    broker.connect().publish('orders', Buffer.from('forged'))
    await turn()
    await turn()
    stop()
    expect(senders).toEqual([['checkout', 'checkout']])
    expect(verdicts).toEqual(['authorized', 'rejected'])
    expect(broker.peek('orders.dlq').map(({ payload }) => String(payload))).toEqual(['forged'])
  })

  it('skip a copy that the other has handled, since the replay state is the verifier’s', async () => {
    const [keys, adapter] = pair()
    const { signer, verifier } = keys.testing.testKeys('checkout')
    const broker = new keys.memory.MemoryBroker()
    keys.memory.wrapProducer(broker.connect(), signer).publish('orders', Buffer.from('once'))
    const [message] = broker.peek('orders')
    broker.connect().publish('orders', Buffer.from('once'), message as object)
    let handled = 0
    for (const { memory } of [keys, adapter]) {
      const consumer = memory.wrapConsumer(broker.connect(), verifier)
      await consumer.consume('orders', (received) => {
        handled++
        consumer.ack(received)
      })
    }
    await turn()
    await turn()
    expect(handled).toBe(1)
  })

  it('wrap a client once between them, and not for another signer or verifier', () => {
    const [keys, adapter] = pair()
    const { signer, verifier } = keys.testing.testKeys('checkout')
    const another = keys.testing.testKeys('billing')
    const broker = new keys.memory.MemoryBroker()
    const producer = keys.memory.wrapProducer(broker.connect(), signer)
    const consumer = keys.memory.wrapConsumer(broker.connect(), verifier)
    const { publish } = producer
    const { consume } = consumer
    expect(adapter.memory.isWrapped(producer, 'producer')).toBe(true)
    expect(adapter.memory.isWrapped(consumer, 'consumer')).toBe(true)
    expect(adapter.memory.wrapProducer(producer, signer)).toBe(producer)
    expect(adapter.memory.wrapConsumer(consumer, verifier)).toBe(consumer)
    expect(producer.publish).toBe(publish)
    expect(consumer.consume).toBe(consume)
    expect(codeOf(() => adapter.memory.wrapProducer(producer, another.signer))).toBe('already-wrapped')
    expect(codeOf(() => adapter.memory.wrapConsumer(consumer, another.verifier))).toBe('already-wrapped')
  })

  it('take each other’s errors for what they are', async () => {
    const [keys, adapter] = pair()
    const setup = new keys.core.SetupError('option-invalid', 'text')
    expect(setup).toBeInstanceOf(adapter.core.SetupError)
    expect(setup).not.toBeInstanceOf(adapter.core.RejectedError)
    expect(new keys.core.RejectedError('key-unknown', 'text')).toBeInstanceOf(adapter.core.RejectedError)
    expect(new Error('text')).not.toBeInstanceOf(adapter.core.SetupError)
    expect(undefined).not.toBeInstanceOf(adapter.core.SetupError)
    expect({ name: 'SetupError', code: 'option-invalid' }).not.toBeInstanceOf(adapter.core.SetupError)

    const { verifier } = keys.testing.testKeys('checkout')
    const permanent = new Promise((resolve) => {
      const stop = keys.core.subscribe('queue-key-auth:dead-letter-failed', (event) => {
        stop()
        resolve(event.permanent)
      })
    })
    const deadLetter = async (): Promise<void> => {
      throw new keys.core.UnstorableError('full')
    }
    const client = adapter.memory.wrapConsumer(new keys.memory.MemoryBroker().connect(), verifier, { deadLetter })
    await client.consume('orders', () => undefined)
    client.publish('orders', Buffer.from('forged'))
    expect(await permanent).toBe(true)
    await client.close()
  })

  it('recognize the instances of every class that has a name outside, subclasses apart', () => {
    const [keys, adapter] = pair()
    let compared = 0
    for (const entry of ['core', 'memory', 'testing'] as const) {
      const theirs = adapter[entry] as unknown as Record<string, new () => object>
      for (const [name, Class] of Object.entries(keys[entry] as unknown as Record<string, new () => object>)) {
        if (typeof Class !== 'function' || !/^class\b/.test(Function.prototype.toString.call(Class))) continue
        class Subclass extends Class {}
        const Theirs = theirs[name] as new () => object
        class TheirSubclass extends Theirs {}
        expect(Object.create(Class.prototype) instanceof Theirs, name).toBe(true)
        expect(Object.create(Subclass.prototype) instanceof Theirs, name).toBe(true)
        expect(Object.create(Class.prototype) instanceof TheirSubclass, name).toBe(false)
        expect(Object.create(TheirSubclass.prototype) instanceof TheirSubclass, name).toBe(true)
        expect({} instanceof Theirs, name).toBe(false)
        compared++
      }
    }
    expect(compared).toBeGreaterThanOrEqual(14)
  })
})

describe('promises of another realm', () => {
  const foreign = (value: unknown): Promise<never> => runInNewContext('Promise.resolve(value)', { value }) as never
  const failed = (): Promise<never> => runInNewContext('Promise.reject(new Error("no"))') as never

  it('are waited for when a message is settled', async () => {
    const { core, testing } = one
    const { signer, verifier } = testing.testKeys('checkout')
    const destination = core.address('memory', 'orders')
    const payload = Buffer.from('signed')
    const message = {
      queue: 'orders',
      destination,
      deliveredBy: [destination],
      token: signer.sign({ destination, payload: Buffer.from('another') }),
      payload,
    }
    const settled: string[] = []
    const stop = core.subscribe('queue-key-auth:settled', ({ how }) => settled.push(how))
    const options = { onRejected: 'acknowledge' } as const
    await core.guardHandler(
      { message, acknowledge: () => foreign(1) } as never,
      verifier,
      async () => undefined,
      options,
    )
    await core.guardHandler({ message, acknowledge: failed } as never, verifier, async () => undefined, options)
    stop()
    expect(settled).toEqual(['acknowledged'])
  })

  it('that reject end nothing: of onVerdict, and of a replay store that lets go', async () => {
    const { core, memory, testing } = one
    const { signer, keys } = testing.testKeys('checkout')
    const rejections: unknown[] = []
    const listener = (reason: unknown): number => rejections.push(reason)
    process.on('unhandledRejection', listener)
    const store = new core.MemoryReplayStore()
    const replay: Core.ReplayStore = {
      begin: (claim) => store.begin(claim),
      commit: (claim, seconds) => store.commit(claim, seconds),
      renew: (claim) => store.renew(claim),
      release: failed,
    }
    const verifier = new core.Verifier({ keys, replay })
    const broker = new memory.MemoryBroker()
    const client = memory.wrapConsumer(memory.wrapProducer(broker.connect(), signer), verifier, {
      onVerdict: failed as never,
    })
    let delivered = 0
    await client.consume('orders', (message) => {
      if (++delivered === 1) client.nack(message)
    })
    client.publish('orders', Buffer.from('signed'))
    await expect.poll(() => delivered).toBeGreaterThanOrEqual(1)
    await turn()
    await turn()
    process.off('unhandledRejection', listener)
    client.destroy()
    expect(rejections).toEqual([])
  })
})
