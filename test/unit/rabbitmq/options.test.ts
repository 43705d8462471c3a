import { describe, expect, it } from 'vitest'
import { checkConsumerOptions, type RabbitmqConsumerOptions } from '../../../adapters/rabbitmq/options.ts'
import { readQueue } from '../../../adapters/rabbitmq/queue.ts'

describe('consumer options', () => {
  it.each([
    { onRejected: 'drop' },
    { noAck: true },
    { maxHoldSeconds: 0 },
    { maxHoldSeconds: '5' },
    { maxHoldSeconds: 2 ** 31 },
    { deadLetter: 'orders.dlq' },
    { deadLetterName: 'orders.dlq' },
    { queueName: 'orders' },
    { onVerdict: true },
  ])('refuses %j', (options) => {
    expect(() => checkConsumerOptions(options as unknown as RabbitmqConsumerOptions)).toThrow(
      expect.objectContaining({ code: 'option-invalid' }),
    )
  })
})

describe('the queue that is read', () => {
  it.each([undefined, '', 5, '\ud800'])('needs its name, which %j is not', (queue) => {
    expect(() => readQueue(queue, {}, {})).toThrow(expect.objectContaining({ code: 'destination-invalid' }))
  })

  it('is not read without acknowledgements unless that was asked for', () => {
    const noAck = { noAck: true }
    expect(() => readQueue('orders', noAck, {})).toThrow(expect.objectContaining({ code: 'no-ack-refused' }))
    expect(readQueue('orders', noAck, { noAck: 'drop' }).noAck).toBe(true)
    expect(readQueue('amq.rabbitmq.reply-to', noAck, {}).noAck).toBe(true)
  })

  it.each([
    ['orders', 'orders.dlq'],
    ['amq.rabbitmq.reply-to', 'rabbitmq.reply-to.dlq'],
    ['amq.gen-JzTY20BRgKO', 'server-named.dlq'],
  ])('the dead letters of %s go to %s', (queue, deadLetters) => {
    expect(readQueue(queue, { noAck: true }, { noAck: 'drop' }).deadLetters).toBe(deadLetters)
  })

  it('a name given to a server-named queue names its dead letters, too', () => {
    const options = { queueName: () => 'replies' }
    expect(readQueue('amq.gen-JzTY20BRgKO', {}, options)).toMatchObject({ name: 'replies', deadLetters: 'replies.dlq' })
    expect(readQueue('orders', {}, options)).toMatchObject({ name: 'replies', deadLetters: 'orders.dlq' })
  })

  it.each([(queue: string) => queue, () => ''])('a dead letter never goes back to its own queue', (deadLetterName) => {
    expect(() => readQueue('orders', {}, { deadLetterName })).toThrow(
      expect.objectContaining({ code: 'option-invalid' }),
    )
  })
})
