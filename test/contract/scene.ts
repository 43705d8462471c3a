import { expect, onTestFinished } from 'vitest'
import type { ConsumerOptions } from '../../src/consumer-options.ts'
import type { HeaderValue } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import type { Verdict } from '../../src/verdict.ts'
import { Verifier, type VerifierOptions } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import type { Delivered, Harness, TestConsumer, TestMessage, TestProducer } from './harness.ts'
import { keys, type Service, shop } from './keys.ts'
import { paired } from './paired.ts'

/** One queue with its producers and consumers, for one test. Everything is closed after it. */
export interface Scene {
  readonly harness: Harness
  readonly queue: string
  readonly destination: string
  readonly verifier: Verifier
  /** the bodies handed over, in order, over all consumers */
  readonly handled: string[]
  readonly deliveries: Delivered[]
  /** every verdict but `authorized`: its reason code, or `unsigned` */
  readonly refusals: string[]
  readonly verdicts: Verdict[]
  /** @param options.handler default: acknowledges */
  consume(options?: ConsumeSetup): Promise<TestConsumer>
  /** a wrapped producer, and one that is not */
  readonly producer: TestProducer
  readonly attacker: TestProducer
  /** Publishes signed, and resolves when the broker has it. */
  send(message: string | TestMessage): Promise<void>
  /** The same for messages as they are. */
  attack(...messages: readonly TestMessage[]): Promise<void>
  /** A signed message, to be published any number of times. */
  sign(message: string | TestMessage): TestMessage
  /** Sends one more good message and resolves when it was handled: everything before it was looked at by then. */
  settled(): Promise<void>
  /** Takes dead letters out until there are as many. */
  deadLetters(count: number): Promise<TestMessage[]>
}

export interface ConsumeSetup {
  readonly handler?: (delivered: Delivered) => unknown
  readonly options?: ConsumerOptions<unknown>
  readonly signer?: Signer
  /** default: the scene's verifier; `undefined`: an unwrapped client */
  readonly verifier?: Verifier | undefined
}

export async function openScene(harness: Harness, options: Partial<VerifierOptions> = {}): Promise<Scene> {
  const queue = uniqueName('contract')
  await harness.createQueue(queue)
  const destination = harness.destinationOf(queue)
  const verifier = new Verifier({ keys, ...options })
  const producer = await harness.openProducer(shop.signer)
  const attacker = await harness.openProducer()
  onTestFinished(async () => {
    await producer.close()
    await attacker.close()
  })
  const handled: string[] = []
  const deliveries: Delivered[] = []
  const verdicts: Verdict[] = []
  const refusals: string[] = []
  const onVerdict = (verdict: Verdict): void => {
    verdicts.push(verdict)
    if (verdict.outcome !== 'authorized') refusals.push('code' in verdict ? verdict.code : verdict.outcome)
  }
  let sentinels = 0
  const sentinelsHandled = new Set<string>()
  const scene: Scene = {
    harness,
    queue,
    destination,
    verifier,
    handled,
    deliveries,
    verdicts,
    refusals,
    producer,
    attacker,
    async consume(setup = {}) {
      const guard = 'verifier' in setup ? setup.verifier : verifier
      const consumer = await harness.openConsumer({
        ...(guard && { verifier: guard }),
        ...(setup.signer && { signer: setup.signer }),
        options: { onVerdict, ...setup.options },
      })
      onTestFinished(() => consumer.kill())
      await consumer.consume(queue, (delivered) => {
        const body = text(delivered.payload)
        if (body.startsWith('sentinel ')) {
          delivered.ack()
          sentinelsHandled.add(body)
          return
        }
        handled.push(body)
        deliveries.push(delivered)
        return setup.handler === undefined ? delivered.ack() : setup.handler(delivered)
      })
      return consumer
    },
    async send(message) {
      producer.publish(queue, typeof message === 'string' ? { payload: Buffer.from(message) } : message)
      await producer.flush()
    },
    async attack(...messages) {
      for (const message of messages) attacker.publish(queue, message)
      await attacker.flush()
    },
    sign(message) {
      const content: TestMessage = typeof message === 'string' ? { payload: Buffer.from(message) } : message
      const signed = { destination, ...(harness.signedForm?.(content) ?? content) }
      return { ...content, headers: { ...content.headers, queueauth: signerOf(harness).sign(signed) } }
    },
    async settled() {
      const body = `sentinel ${++sentinels}`
      await scene.send(body)
      await eventually(() => expect(sentinelsHandled).toContain(body))
    },
    async deadLetters(count) {
      const letters: TestMessage[] = []
      await eventually(async () => {
        letters.push(...(await harness.take(harness.deadLetterQueueOf(queue))))
        expect(letters).toHaveLength(count)
      })
      return letters
    },
  }
  return scene
}

/** How the shop signs what no producer sends. */
export function signerOf({ batch }: Harness, { signer }: Service = shop): Signer {
  return batch ? paired(signer) : signer
}

/** A body as text, one character a byte. */
export function text(payload: Uint8Array | null): string {
  return payload === null ? 'no body' : Buffer.from(payload).toString('latin1')
}

/** What a consumer settled, in order, without the scene's own messages. */
export function settlements(consumer: TestConsumer): string[] {
  return consumer.settlements.filter((settlement) => !settlement.includes(' sentinel '))
}

/** A header as the wire has it: text and bytes are the same. */
export function bytesOf(value: HeaderValue): HeaderValue {
  if (typeof value === 'string') return Buffer.from(value)
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(bytesOf)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, bytesOf(item)]))
  }
  return value
}
