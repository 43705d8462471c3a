import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore, type ReplayStore, subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { expectAll, idOf, numbered, publishAll, report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: what messages need is away for a while', () => {
  const { signer, keys } = testKeys('checkout')
  let scene: Scene
  let signing: ConfirmChannel
  let plain: ConfirmChannel

  beforeAll(async () => {
    scene = new Scene(url as string)
    signing = await wrapProducer(await scene.connection(), signer).createConfirmChannel()
    plain = await (await scene.connection()).createConfirmChannel()
  })
  afterAll(() => scene.end())

  async function consume(
    queue: string,
    verifier: Verifier,
    options?: RabbitmqConsumerOptions,
  ): Promise<{ handled: string[]; connection: ChannelModel }> {
    const handled: string[] = []
    const connection = wrapConsumer(await scene.connection(), verifier, options)
    const channel = await connection.createChannel()
    await channel.prefetch(200)
    await channel.consume(queue, (message) => {
      if (message === null) return
      handled.push(idOf(message))
      channel.ack(message)
    })
    return { handled, connection }
  }

  it('a full dead-letter queue that refuses: good ones flow on, bad ones are held until there is room', async () => {
    const queue = await scene.queue('refusing')
    const good = numbered('good', 500)
    const bad = numbered('bad', 100)
    const channel = await scene.plain()
    await channel.assertQueue(`${queue}.dlq`, { maxLength: 10, arguments: { 'x-overflow': 'reject-publish' } })
    const refused = new Set<string>()
    const unsubscribe = subscribe('queue-key-auth:dead-letter-failed', (event) => {
      if (event.queue === queue) refused.add(event.code)
    })
    scene.atEnd(async () => unsubscribe())
    await publishAll(plain, queue, bad)
    await publishAll(signing, queue, good)
    const { handled, connection } = await consume(queue, new Verifier({ keys }))
    await expect.poll(() => handled.length).toBe(good.length)
    await expect.poll(() => [...refused]).toEqual(['token-missing'])
    const before = await scene.waiting(`${queue}.dlq`)
    expect(before).toBeLessThan(bad.length)

    const letters: string[] = []
    await expect
      .poll(async () => {
        letters.push(...(await scene.drain(`${queue}.dlq`)).map(idOf))
        return new Set(letters).size
      })
      .toBe(bad.length)
    expectAll(handled, good)
    expectAll(letters, bad)
    await connection.close()
    expect(await scene.waiting(queue)).toBe(0)
    unsubscribe()
    report('dead letters refused', {
      in: good.length + bad.length,
      handled: handled.length,
      'dead-lettered before': before,
      'in the end': letters.length,
    })
  })

  it.each([
    ['held', {}],
    ['given back and consumed again', { maxHoldSeconds: 0.5 }],
  ] as const)('a remote replay store that fails for a while: messages are %s, none lost', async (how, options) => {
    const queue = await scene.queue('store')
    const good = numbered('good', 1_000)
    const store = new RemoteStore()
    const verifier = new Verifier({ keys, replay: store })
    const attempts = new Set<number>()
    const notices = new Set<string>()
    const unsubscribe = [
      subscribe('queue-key-auth:held', (event) => {
        if (event.queue === queue && event.code === 'store-unavailable') attempts.add(event.attempt)
      }),
      subscribe('queue-key-auth:notice', (event) => {
        if (event.queue === queue) notices.add(event.notice)
      }),
    ]
    scene.atEnd(async () => unsubscribe.forEach((stop) => void stop()))
    await publishAll(signing, queue, good)
    // In the middle of everything, so that commits fail as well.
    store.failAfter(600)
    const { handled, connection } = await consume(queue, verifier, options)
    await expect.poll(() => store.failures).toBeGreaterThan(0)
    if (how === 'held') {
      // The wait doubles with each try: by this one about five seconds are over.
      await expect.poll(() => attempts.has(7)).toBe(true)
      expect(notices).toEqual(new Set())
    } else await expect.poll(() => notices.has('consumer-paused')).toBe(true)
    const meanwhile = handled.length
    expect(meanwhile).toBeLessThan(good.length)
    store.recover()
    await expect.poll(() => handled.length).toBe(good.length)
    expectAll(handled, good)
    if (how !== 'held') expect(notices.has('consumer-resumed')).toBe(true)
    expect(await scene.drain(`${queue}.dlq`)).toEqual([])
    // All of them are written down, and closing gives nothing back: each was acknowledged.
    await expect.poll(() => store.committed.size).toBe(good.length)
    await connection.close()
    expect(await scene.waiting(queue)).toBe(0)
    report(`store fails, ${how}`, {
      in: good.length,
      before: meanwhile,
      handled: handled.length,
      failures: store.failures,
    })
  })
})

/** Answers a little later, and not at all while it fails. */
class RemoteStore implements ReplayStore {
  failures = 0
  readonly committed = new Set<string>()
  #answersLeft = Number.POSITIVE_INFINITY
  readonly #memory = new MemoryReplayStore()

  failAfter(answers: number): void {
    this.#answersLeft = answers
  }

  recover(): void {
    this.#answersLeft = Number.POSITIVE_INFINITY
  }

  begin: ReplayStore['begin'] = (claim) => this.#answer(() => this.#memory.begin(claim))
  commit: ReplayStore['commit'] = (claim, seconds) =>
    this.#answer(() => {
      this.committed.add(claim.key)
      return this.#memory.commit(claim, seconds)
    })
  release: ReplayStore['release'] = (claim) => this.#answer(() => this.#memory.release(claim))
  renew: ReplayStore['renew'] = (claim) => this.#answer(() => this.#memory.renew(claim))

  async #answer<Answer>(ask: () => Answer | Promise<Answer>): Promise<Answer> {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
    if (--this.#answersLeft >= 0) return ask()
    this.failures++
    throw new Error('the store is away')
  }
}
