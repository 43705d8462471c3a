import { describe, expect, it } from 'vitest'
import type { MemoryMessage } from '../../../adapters/memory/index.ts'
import { addressOf, toDeadLetter, toHandled, toReceived } from '../../../adapters/memory/message.ts'
import { createDeadLetter } from '../../../src/dead-letter.ts'
import { Admission } from '../../../src/guard.ts'
import type { HeaderValue } from '../../../src/message.ts'
import { unsignedHeaders } from '../../../src/verdict.ts'

function message(headers: Record<string, HeaderValue>, properties = {}): MemoryMessage {
  return { queue: 'a b', payload: Buffer.from('x'), headers, properties, redelivered: false, deliveryTag: 1 }
}

const passed = new Admission({ outcome: 'unsigned' })

describe('the memory broker’s messages', () => {
  it('have the address memory:<queue>, percent-encoded', () => {
    expect(addressOf('orders.created')).toBe('memory:orders.created')
    expect(addressOf('a/b c%')).toBe('memory:a%2Fb%20c%25')
    expect(() => addressOf('\ud800')).toThrow(expect.objectContaining({ code: 'destination-invalid' }))
  })

  it('are received with the token apart from headers that have no prototype', () => {
    const hostile = Object.fromEntries([
      ['__proto__', { queueauth: 'inherited' }],
      ['x', 1],
    ])
    const received = toReceived(message(hostile, { appId: 'shop' }))
    expect(received).toMatchObject({ queue: 'a b', deliveredBy: ['memory:a%20b'], origin: 'shop' })
    expect(received.token).toBeUndefined()
    expect(Object.getPrototypeOf(received.headers)).toBe(null)
    expect(Object.keys(received.headers ?? {})).toEqual(['__proto__', 'x'])
    expect(toReceived(message({ queueauth: ['a', 'b'], x: 1 }))).toMatchObject({ token: ['a', 'b'], headers: { x: 1 } })
  })

  it('reach the handler as they came where nothing was verified, on an object of its own', () => {
    const came = message({ queueauth: 'token', 'x-any': 1 })
    const handled = toHandled(came, passed)
    expect({ ...handled.headers }).toEqual(came.headers)
    expect(handled).not.toBe(came)
    expect(handled.headers).not.toBe(came.headers)
    expect(Object.getPrototypeOf(handled.headers)).toBe(Object.prototype)
    expect(unsignedHeaders(handled)).toEqual({})
  })

  it('keep everything as dead letters; names that only we may use are changed, whatever their case', () => {
    const came = message(
      { queueauth: 'token', 'queueauth-reason': 'planted', QueueAuth: 'planted', 'x-any': [1] },
      { type: 'order' },
    )
    const rejected = { outcome: 'rejected', code: 'token-malformed', detail: 'why' } as const
    const letter = createDeadLetter(rejected, toReceived(came), came)
    expect(toDeadLetter(letter)).toEqual({
      properties: { type: 'order' },
      headers: {
        queueauth: 'token',
        'queueauth-original-queueauth-reason': 'planted',
        'queueauth-original-QueueAuth': 'planted',
        'x-any': [1],
        'queueauth-reason': 'token-malformed',
        'queueauth-detail': 'why',
        'queueauth-queue': 'a b',
        'queueauth-at': letter.at.toISOString(),
      },
    })
  })
})
