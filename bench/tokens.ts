import { hash, type KeyObject, sign, verify } from 'node:crypto'
import { createSigner, createVerifier } from 'fast-jwt'
import { CompactSign, compactVerify } from 'jose'
import { AuthorizedKeys, type Message, type ReceivedMessage, Signer, Verifier } from '../src/index.ts'
import type { Algorithm } from '../src/keys/algorithms.ts'
import { generateKeyPairFor } from './keys.ts'
import { type Contender, compare, type Effort, type Medians } from './measure.ts'

/** Signing and verifying in one process, without any broker. */

const QUEUE = 'orders'
const DESTINATION = 'amqp:/orders'
/** messages signed or verified in one call, where a contender does them one by one */
const CHUNK = 32

export interface TokenResult {
  readonly sign: Medians
  readonly verify: Medians
}

export function messagesOf(count: number, bytes: number): Message[] {
  return Array.from({ length: count }, (_, index) => ({
    destination: DESTINATION,
    payload: Buffer.alloc(bytes, `{"order":${index}}`),
    properties: { contentType: 'application/json', messageId: `m-${index}` },
    headers: { tenant: 'acme' },
  }))
}

/** What others have to do for the same claims. */
function claimsOf({ payload }: Message): Record<string, unknown> {
  return {
    iss: 'checkout',
    aud: DESTINATION,
    iat: Math.floor(Date.now() / 1000),
    jti: 'AAAAAAAAAAAAAAAAAAAAAA',
    bh: hash('sha256', payload as Uint8Array, 'base64url'),
  }
}

function checkBody(claims: { bh?: unknown }, { payload }: Message): void {
  if (claims.bh !== hash('sha256', payload as Uint8Array, 'base64url')) throw new Error('the benchmark is broken')
}

/** The limit, the usual libraries, and ours one message at a time. */
export async function compareSingle(algorithm: Algorithm, bytes: number, effort: Effort): Promise<TokenResult> {
  const { privateKey, publicKey } = generateKeyPairFor(algorithm)
  const messages = messagesOf(CHUNK, bytes)
  const raw = rawOf(algorithm, privateKey, publicKey)
  const signer = Signer.fromKey(privateKey, { service: 'checkout', algorithm })
  const verifier = verifierOf(signer)
  const fast = algorithm === 'Ed25519' ? 'EdDSA' : algorithm
  const fastSign = createSigner({
    algorithm: fast,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    noTimestamp: true,
  })
  const fastVerify = createVerifier({
    key: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    algorithms: [fast],
    cache: false,
  })
  const joseSign = (message: Message): Promise<string> =>
    new CompactSign(Buffer.from(JSON.stringify(claimsOf(message))))
      .setProtectedHeader({ alg: algorithm, typ: 'queueauth-v1+jwt', kid: signer.keyId })
      .sign(privateKey)
  const joseVerify = async (token: string, message: Message): Promise<void> => {
    const { payload } = await compactVerify(token, publicKey)
    checkBody(JSON.parse(Buffer.from(payload).toString()), message)
  }
  const input = Buffer.alloc(420, 'x')
  const signature = raw.sign(input)
  const own = receivedWith(
    messages,
    messages.map((message) => signer.sign(message)),
  )
  const theirs = await Promise.all(messages.map(joseSign))
  const fasts = messages.map((message) => fastSign(claimsOf(message)))
  const each = (name: string, action: (message: Message, index: number) => void): Contender => ({
    name,
    operations: CHUNK,
    run: () => messages.forEach(action),
  })
  const inTurn = (name: string, action: (message: Message, index: number) => Promise<unknown>): Contender => ({
    name,
    operations: CHUNK,
    run: async () => {
      for (const [index, message] of messages.entries()) await action(message, index)
    },
  })
  const together = (name: string, action: (message: Message, index: number) => Promise<unknown>): Contender => ({
    name,
    operations: CHUNK,
    run: async () => {
      await Promise.all(messages.map(action))
    },
  })
  return {
    sign: await compare(
      [
        each('node:crypto', () => void raw.sign(input)),
        inTurn('jose', joseSign),
        together('jose, 32 in flight', joseSign),
        each('fast-jwt', (message) => void fastSign(claimsOf(message))),
        each('single', (message) => void signer.sign(message)),
      ],
      effort,
    ),
    verify: await compare(
      [
        each('node:crypto', () => void raw.verify(input, signature)),
        inTurn('jose', (message, index) => joseVerify(theirs[index] as string, message)),
        together('jose, 32 in flight', (message, index) => joseVerify(theirs[index] as string, message)),
        each('fast-jwt', (message, index) => checkBody(fastVerify(fasts[index] as string), message)),
        each('single', (_, index) => check(verifier, own[index] as ReceivedMessage)),
      ],
      effort,
    ),
  }
}

/** Ours, in batches of several sizes. */
export async function compareBatches(
  algorithm: Algorithm,
  bytes: number,
  sizes: readonly number[],
  effort: Effort,
): Promise<TokenResult> {
  const signer = Signer.fromKey(generateKeyPairFor(algorithm).privateKey, { service: 'checkout', algorithm })
  const keys = AuthorizedKeys.parse(signer.authorizedKeysLine(QUEUE))
  const batches = sizes.map((size) => ({ size, name: `batch of ${size}`, messages: messagesOf(size, bytes) }))
  return {
    sign: await compare(
      batches.map(({ size, name, messages }) => ({
        name,
        operations: size,
        run: () => void signer.signBatch(messages),
      })),
      effort,
    ),
    verify: await compare(
      batches.map(({ size, name, messages }) => {
        const received = receivedWith(messages, signer.signBatch(messages))
        return {
          name,
          operations: size,
          run: () => {
            // A new verifier has seen no batch: each is verified from its signature on.
            const verifier = new Verifier({ keys, replay: 'off' })
            for (const message of received) check(verifier, message)
          },
        }
      }),
      effort,
    ),
  }
}

function verifierOf(signer: Signer): Verifier {
  return new Verifier({ keys: AuthorizedKeys.parse(signer.authorizedKeysLine(QUEUE)), replay: 'off' })
}

/** The messages as a consumer gets them. */
export function receivedWith(messages: readonly Message[], tokens: readonly string[]): ReceivedMessage[] {
  return messages.map(({ destination, ...message }, index) => ({
    ...message,
    queue: QUEUE,
    deliveredBy: [destination],
    token: tokens[index],
  }))
}

export function check(verifier: Verifier, received: ReceivedMessage): void {
  const result = verifier.check(received)
  if ('outcome' in result) throw new Error('the benchmark is broken')
}

interface Raw {
  sign(data: Uint8Array): Buffer
  verify(data: Uint8Array, signature: Uint8Array): boolean
}

function rawOf(algorithm: Algorithm, privateKey: KeyObject, publicKey: KeyObject): Raw {
  const digest = algorithm === 'Ed25519' ? null : 'sha256'
  return {
    sign: (data) => sign(digest, data, privateKey),
    verify: (data, signature) => verify(digest, data, publicKey, signature),
  }
}
