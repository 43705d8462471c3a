import { describe, expect, it } from 'vitest'
import { SetupError } from '../../src/errors.ts'
import { isWrapped, originalOf, override, wrapOnce } from '../../src/wrapping.ts'

class Client {
  #sent: string[] = []
  get sent(): string {
    return this.#sent.join()
  }
  send(text: string): void {
    this.#sent.push(text)
  }
}

function codeOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return (error as SetupError).code
  }
  return undefined
}

describe('wrapOnce', () => {
  it('decorates once for each role', () => {
    const client = new Client()
    const by = {}
    let times = 0
    const wrap = (role: 'producer' | 'consumer'): boolean => wrapOnce(client, role, by, () => times++)
    expect(isWrapped(client)).toBe(false)
    expect([wrap('producer'), wrap('producer')]).toEqual([true, false])
    expect([isWrapped(client), isWrapped(client, 'producer'), isWrapped(client, 'consumer')]).toEqual([
      true,
      true,
      false,
    ])
    expect(wrap('consumer')).toBe(true)
    expect(times).toBe(2)
  })

  it('refuses another signer or verifier', () => {
    const client = new Client()
    wrapOnce(client, 'producer', {}, () => undefined)
    expect(codeOf(() => wrapOnce(client, 'producer', {}, () => undefined))).toBe('already-wrapped')
  })

  it('does not count a client as wrapped when decorating failed', () => {
    const client = new Client()
    const refuse = (): never => {
      throw new SetupError('already-consuming', 'no')
    }
    expect(codeOf(() => wrapOnce(client, 'consumer', {}, refuse))).toBe('already-consuming')
    expect(isWrapped(client)).toBe(false)
    expect(wrapOnce(client, 'consumer', {}, () => undefined)).toBe(true)
  })

  it('refuses a frozen client', () => {
    expect(codeOf(() => wrapOnce(Object.freeze(new Client()), 'producer', {}, () => undefined))).toBe(
      'client-unsupported',
    )
  })
})

describe('override', () => {
  it('changes this one object, and keeps the way to the original', () => {
    const [client, other] = [new Client(), new Client()]
    const untouched = Client.prototype.send
    const send = originalOf(client, 'send')
    override(client, 'send', (text) => send(`signed ${text}`))
    override(client, 'send', (text) => send(`twice ${text}`))
    client.send('a')
    originalOf(client, 'send')('b')
    other.send('c')
    expect([client.sent, other.sent]).toEqual(['twice a,b', 'c'])
    expect(Client.prototype.send).toBe(untouched)
    expect(Object.keys(client)).toEqual([])
    expect({ ...client }).not.toHaveProperty('send')
  })

  it('lets a tracer come on top', () => {
    const client = new Client()
    override(client, 'send', () => undefined)
    const traced = (): void => undefined
    client.send = traced
    expect(client.send).toBe(traced)
  })
})
