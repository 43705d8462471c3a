import { connect } from 'amqplib'
import { setTimeout as sleep } from 'node:timers/promises'
import { wrapConsumer, wrapProducer } from './adapters/rabbitmq/index.ts'
import { subscribe, Verifier } from './src/index.ts'
import { testKeys } from './src/testing.ts'
const { signer, keys } = testKeys('checkout')
const url = process.argv[2]
const src = { ok: true, get snapshot() { return this.ok ? keys.snapshot : undefined } }
subscribe('queue-key-auth:notice', (e) => console.log('notice', e.notice))
const c = await connect(url); const p = wrapProducer(await c.createConfirmChannel(), signer)
const q = 'st-' + Date.now()
await p.assertQueue(q, { arguments: { 'x-queue-type': 'stream' } })
const w = wrapConsumer(await connect(url), new Verifier({ keys: src }), { maxHoldSeconds: 0.3, onVerdict: (v) => console.log('verdict', v.outcome, v.code, v.detail) })
w.on('error', (e) => console.log('CONN', e.message))
p.sendToQueue(q, Buffer.from('early')); await p.waitForConfirms()
const ch = await w.createChannel(); ch.on('error', (e) => console.log('CH', e.message)); ch.on('close', () => console.log('closed'))
await ch.prefetch(20)
console.log(await ch.consume(q, (m) => { console.log('got', m?.content.toString(), m?.properties.headers['x-stream-offset']); ch.ack(m) }, { arguments: { 'x-stream-offset': 'first' } }))
p.sendToQueue(q, Buffer.from('before')); await p.waitForConfirms()
await sleep(500)
src.ok = false
for (let i = 0; i < 5; i++) p.sendToQueue(q, Buffer.from('held' + i)); await p.waitForConfirms()
await sleep(1500)
for (let i = 0; i < 5; i++) p.sendToQueue(q, Buffer.from('mean' + i)); await p.waitForConfirms()
src.ok = true
await sleep(3000)
process.exit()
