import { AuthorizedKeys, type Message, type ReceivedMessage, Signer, Verifier } from '../../src/index.ts'
import type { Algorithm } from '../../src/keys/algorithms.ts'
import { type Contender, compare, type Effort, type Medians } from '../measure.ts'
import { generateKeyPairFor } from './keys.ts'
import { fastJwt, jose, type Library, nodeCrypto, nodeRs } from './libraries.ts'
import { check, messagesOf, QUEUE, receivedWith } from './messages.ts'

/** Signing and verifying in one process, without any broker. */

/** messages signed or verified in one call, where a contender does them one by one */
const CHUNK = 32

/** Median CPU microseconds a message, by contender. */
export interface TokenCosts {
  readonly sign: Medians
  readonly verify: Medians
}

/** The limit, the usual libraries, and ours one message at a time. */
export async function compareSingle(algorithm: Algorithm, bytes: number, effort: Effort): Promise<TokenCosts> {
  const pair = generateKeyPairFor(algorithm)
  const messages = messagesOf(CHUNK, bytes)
  const signing: Contender[] = []
  const verifying: Contender[] = []
  const add = async ({ name, sign, verify }: Library): Promise<void> => {
    const tokens = await Promise.all(messages.map(sign))
    const check = (message: Message, index: number) => verify(tokens[index] as string, message)
    if (typeof sign(messages[0] as Message) === 'string') {
      signing.push(each(name, messages, sign))
      verifying.push(each(name, messages, check))
    } else {
      signing.push(inTurn(name, messages, sign), together(name, messages, sign))
      verifying.push(inTurn(name, messages, check), together(name, messages, check))
    }
  }
  await add(nodeCrypto(algorithm, pair))
  await add(jose(algorithm, pair))
  await add(fastJwt(algorithm, pair))
  await add(nodeRs(algorithm, pair))

  const signer = Signer.fromKey(pair.privateKey, { service: 'checkout', algorithm })
  const verifier = new Verifier({ keys: AuthorizedKeys.parse(signer.authorizedKeysLine(QUEUE)), replay: 'off' })
  const tokens = messages.map((message) => signer.sign(message))
  const received = receivedWith(messages, tokens)
  signing.push(each(SINGLE, messages, (message) => signer.sign(message)))
  verifying.push(each(SINGLE, messages, (_, index) => check(verifier, received[index] as ReceivedMessage)))
  return { sign: await compare(signing, effort), verify: await compare(verifying, effort) }
}

type Action = (message: Message, index: number) => unknown

function each(name: string, messages: readonly Message[], action: Action): Contender {
  return { name, operations: messages.length, run: () => messages.forEach(action) }
}

function inTurn(name: string, messages: readonly Message[], action: Action): Contender {
  const run = async (): Promise<void> => {
    for (const [index, message] of messages.entries()) await action(message, index)
  }
  return { name, operations: messages.length, run }
}

function together(name: string, messages: readonly Message[], action: Action): Contender {
  const run = async (): Promise<void> => {
    await Promise.all(messages.map(action))
  }
  return { name: `${name}, ${messages.length} in flight`, operations: messages.length, run }
}

const SINGLE = 'single'

export function isOurs(name: string): boolean {
  return name === SINGLE || name.startsWith('batch')
}

export function batchName(size: number): string {
  return `batch of ${size}`
}

/** Ours, in batches of several sizes. */
export async function compareBatches(
  algorithm: Algorithm,
  bytes: number,
  sizes: readonly number[],
  effort: Effort,
): Promise<TokenCosts> {
  const signer = Signer.fromKey(generateKeyPairFor(algorithm).privateKey, { service: 'checkout', algorithm })
  const keys = AuthorizedKeys.parse(signer.authorizedKeysLine(QUEUE))
  const kinds = sizes.map((size) => ({ name: batchName(size), size, ids: false }))
  kinds.push({ name: `${batchName(256)}, with message ids`, size: 256, ids: true })
  const batches = kinds.map(({ name, size, ids }) => ({
    name,
    operations: size,
    messages: messagesOf(size, bytes, ids),
  }))
  const signing = batches.map(({ messages, ...batch }) => ({ ...batch, run: () => void signer.signBatch(messages) }))
  const verifying = batches.map(({ messages, ...batch }) => {
    const received = receivedWith(messages, signer.signBatch(messages))
    const run = (): void => {
      // A new verifier has seen no batch: each is verified from its signature on.
      const verifier = new Verifier({ keys, replay: 'off' })
      for (const message of received) check(verifier, message)
    }
    return { ...batch, run }
  })
  return { sign: await compare(signing, effort), verify: await compare(verifying, effort) }
}
