// A consumer that is killed. It ends itself by SIGKILL, which nothing in the process can soften, since only so the point
// of its death can be chosen exactly.

import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { connect } from 'amqplib'

const { built, url, queue, authorizedKeys, effectsFile, sharedStore, prefetch, point, after, offsetsFile } = JSON.parse(
  process.argv[2],
)
const { AuthorizedKeys, Verifier } = await import(join(built, 'src/index.js'))
const { wrapConsumer } = await import(join(built, 'adapters/rabbitmq/index.js'))

process.on('disconnect', () => process.exit(1))

let left = after

/** Dies when this point was passed often enough. */
function passing(where) {
  if (where === point && --left < 0) process.kill(process.pid, 'SIGKILL')
}

const connection = await connect(url)
underneath(connection)
const verifier = new Verifier({
  keys: AuthorizedKeys.parse(authorizedKeys),
  leaseSeconds: 1,
  ...(sharedStore && { replay: storeOfParent() }),
})
wrapConsumer(connection, verifier, {
  onVerdict: (verdict) => {
    if (verdict.outcome === 'authorized') passing('before the handler')
  },
})
const channel = await connection.createChannel()
await channel.prefetch(prefetch)
await channel.consume(queue, handle, offsetsFile && { arguments: { 'x-stream-offset': whereToGoOn() } })

/** A reader of a stream keeps its own offset, behind the effect. */
function whereToGoOn() {
  const last = readFileSync(offsetsFile, 'utf8').split('\n').at(-2)
  return last === undefined ? 'first' : Number(last) + 1
}

async function handle(message) {
  await turn()
  passing('in the handler')
  appendFileSync(effectsFile, `${message.content}\n`)
  passing('after the handler, before the ack')
  channel.ack(message)
  if (offsetsFile) appendFileSync(offsetsFile, `${message.properties.headers['x-stream-offset']}\n`)
  await turn()
  await turn()
  passing('after the ack')
}
process.on('message', async (message) => {
  if (message !== 'close') return
  await connection.close()
  process.disconnect()
  process.exit(0)
})
process.send('consuming')

/** What is done on the wire, below the library. */
function underneath(made) {
  const createChannel = made.createChannel.bind(made)
  made.createChannel = async () => {
    const raw = await createChannel()
    const ack = raw.ack.bind(raw)
    raw.ack = (message) => {
      passing(message.content.toString().startsWith('bad') ? 'dead letter confirmed' : 'committed, before the ack')
      ack(message)
    }
    return raw
  }
  const createConfirmChannel = made.createConfirmChannel.bind(made)
  made.createConfirmChannel = async () => {
    const raw = await createConfirmChannel()
    const publish = raw.publish.bind(raw)
    raw.publish = (...args) => {
      const result = publish(...args)
      setImmediate(passing, 'dead letter written')
      return result
    }
    return raw
  }
}

/** A replay store that outlives this process. */
function storeOfParent() {
  const waiting = new Map()
  let asked = 0
  process.on('message', ({ number, answer }) => {
    waiting.get(number)?.(answer)
    waiting.delete(number)
  })
  const ask =
    (method) =>
    (...args) =>
      new Promise((resolve) => {
        waiting.set(++asked, resolve)
        process.send({ number: asked, method, args })
      })
  return { begin: ask('begin'), commit: ask('commit'), release: ask('release'), renew: ask('renew') }
}
