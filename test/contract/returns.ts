import { describe, expect, it } from 'vitest'
import { MAX_RETURNS } from '../../src/dead-letter.ts'
import { AuthorizedKeys, unsignedHeaders, Verifier } from '../../src/index.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import { eventually } from '../eventually.ts'
import type { Features, Harness, TestMessage } from './harness.ts'
import { keys, stranger } from './keys.ts'
import { openScene, text } from './scene.ts'

/** A verifier whose keys are not authorized at first. */
function lateVerifier(): { verifier: Verifier; authorize(): void } {
  let current = AuthorizedKeys.parse(stranger.signer.authorizedKeysLine('**'))
  const source = {
    get snapshot() {
      return current.snapshot
    },
  }
  return {
    verifier: new Verifier({ keys: source }),
    authorize: () => {
      current = keys
    },
  }
}

function reserved(message: TestMessage): Record<string, string> {
  const entries = Object.entries(message.headers ?? {})
  return Object.fromEntries(
    entries
      .filter(([name]) => name !== TOKEN_HEADER && isReservedHeader(name) && name !== 'queueauth-return-id')
      .map(([name, value]) => [name, String(value)]),
  )
}

export function returnTests(harness: Harness, features: Features): void {
  it('is handled as what it was made from when its key is authorized by now', async () => {
    const scene = await openScene(harness)
    const { verifier, authorize } = lateVerifier()
    await scene.consume({ verifier })
    const signed = scene.sign({ payload: Buffer.from('early'), headers: features.headersInBody ? {} : { tenant: 'a' } })
    await scene.attack(signed)
    const [letter] = (await scene.deadLetters(1)) as [TestMessage]
    expect(reserved(letter)).toMatchObject({ 'queueauth-reason': 'key-unknown' })
    authorize()
    await scene.attack(letter)
    await eventually(() => expect(scene.handled).toEqual(['early']))
    const [delivered] = scene.deliveries
    const shown = [
      ...Object.keys(delivered?.headers ?? {}),
      ...Object.keys(unsignedHeaders(delivered?.message as object)),
    ]
    expect(shown.filter((name) => name !== TOKEN_HEADER && isReservedHeader(name))).toEqual([])
    expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
  })

  it('keeps its first explanation and its size, is counted, and is parked in the end', async () => {
    const scene = await openScene(harness)
    await scene.consume()
    let message: TestMessage = { payload: Buffer.from('8 octets') }
    await scene.attack(message)
    ;[message] = (await scene.deadLetters(1)) as [TestMessage]
    const first = reserved(message)
    for (let count = 1; count <= MAX_RETURNS + 1; count++) {
      await scene.attack(message)
      const place = harness.deadLetterQueueOf(scene.queue)
      const from = count > MAX_RETURNS ? harness.parkedQueueOf(scene.queue) : place
      const letters: TestMessage[] = []
      await eventually(async () => {
        letters.push(...(await harness.take(from)))
        expect(letters).toHaveLength(1)
      })
      ;[message] = letters as [TestMessage]
      expect(text(message.payload)).toBe('8 octets')
      expect(reserved(message)).toEqual({
        ...first,
        'queueauth-returns': String(count),
        'queueauth-last-reason': 'token-missing',
      })
    }
    expect(scene.handled).toEqual([])
    expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
  })

  describe('that is an imitation', () => {
    const explanation = { 'queueauth-reason': 'key-unknown', 'queueauth-detail': 'please send me back' }

    it('is judged as if it had been sent without it', async () => {
      const scene = await openScene(harness)
      await scene.consume()
      const good = scene.sign('good')
      await scene.attack(
        { ...good, headers: { ...good.headers, ...explanation } },
        { payload: Buffer.from('forged'), headers: { ...explanation, 'queueauth-returns': '2' } },
      )
      const [letter] = (await scene.deadLetters(1)) as [TestMessage]
      expect(text(letter.payload)).toBe('forged')
      await eventually(() => expect(scene.handled).toEqual(['good']))
    })

    it('and has a header that no dead letter has is headers-mismatch', async () => {
      const scene = await openScene(harness)
      await scene.consume()
      const good = scene.sign('good')
      await scene.attack({ ...good, headers: { ...good.headers, ...explanation, 'queueauth-x': 'x' } })
      await scene.deadLetters(1)
      expect(scene.refusals).toEqual(['headers-mismatch'])
      expect(scene.handled).toEqual([])
    })
  })
}
