// A producer and a consumer of a Redis stream, and someone who only has the server's password.
//
//   REDIS_URL=redis://localhost node examples/redis-streams/main.mjs        (after npm run build)

import { Redis } from 'ioredis'
import { AuthorizedKeys, Signer, senderOf, Verifier } from 'queue-key-auth'
import { consumeStream, wrapProducer } from 'queue-key-auth/redis-streams'

const url = process.env.REDIS_URL ?? 'redis://localhost'
const stream = `example.orders.${process.pid}`

// A key that lives as long as this program; a service reads its own with Signer.fromFile.
const signer = Signer.generate('checkout')
const keys = AuthorizedKeys.parse(signer.authorizedKeysLine('example.orders.*'))

const thief = new Redis(url)
const producer = wrapProducer(new Redis(url), signer)
await thief.xadd(stream, '*', 'order', '666')
await producer.xadd(stream, '*', 'order', '1')

const redis = new Redis(url)
let done
const handled = new Promise((resolve) => {
  done = resolve
})
const consumer = consumeStream({
  redis,
  stream,
  group: 'billing',
  consumer: 'billing-1',
  verifier: new Verifier({ keys }),
  handler: (message) => {
    console.log(`${senderOf(message).service} sent order ${message.values.order}`)
    done()
  },
  onVerdict: (verdict) => {
    if (verdict.outcome === 'rejected') console.log(`rejected: ${verdict.code}`)
  },
})
await handled

const deadLetters = `{${stream}}:dlq`
let letters = []
while (letters.length === 0) letters = await thief.xrange(deadLetters, '-', '+')
const [, fields] = letters[0]
console.log(`dead letter: order ${fields[1]}, because of ${fields[fields.indexOf('queueauth-reason') + 1]}`)

await consumer.stop()
await thief.del(stream, deadLetters)
await Promise.all([thief.quit(), producer.quit(), redis.quit()])
