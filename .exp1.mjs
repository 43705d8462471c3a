import { connect } from 'amqplib'
import { setTimeout as sleep } from 'node:timers/promises'
const url = process.argv[2]
const conn = await connect(url)
conn.on('error', (e) => console.log('CONN ERROR', e.message))
console.log('version', conn.connection.serverProperties.version)
const id = Date.now().toString(36)
const ch = async () => { const c = await conn.createChannel(); c.on('error', () => {}); return c }
const kinds = {
  classic: { durable: true },
  transient: { durable: false, exclusive: false, autoDelete: true },
  auto: { durable: true, autoDelete: true },
  exclusive: { exclusive: true },
  expires: { durable: true, expires: 60000 },
  dlx: { durable: true, deadLetterExchange: 'x' },
  sac: { durable: true, arguments: { 'x-single-active-consumer': true } },
  quorum: { durable: true, arguments: { 'x-queue-type': 'quorum' } },
  quorumsac: { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true, 'x-expires': 50000 } },
  stream: { durable: true, arguments: { 'x-queue-type': 'stream' } },
}
const tryit = async (f) => { const c = await ch(); try { const r = await f(c); return 'OK ' + JSON.stringify(r) } catch (e) { return e.message.replace(/Operation failed: /, '') } finally { try { await c.close() } catch {} } }
for (const [k, o] of Object.entries(kinds)) {
  const q = `${k}-${id}`
  const m = await ch()
  try { await m.assertQueue(q, o) } catch (e) { console.log(k, 'declare', e.message); continue }
  await m.prefetch(5)
  await m.consume(q, () => {})
  console.log('==', k)
  console.log('  declare autoDelete:true  :', await tryit((c) => c.assertQueue(q, { durable: true, autoDelete: true })))
  console.log('  declare +expires 1       :', await tryit((c) => c.assertQueue(q, { durable: true, autoDelete: o.autoDelete ?? false, expires: 1 })))
  console.log('  declare +sac             :', await tryit((c) => c.assertQueue(q, { durable: true, autoDelete: o.autoDelete ?? false, arguments: { 'x-single-active-consumer': !o.arguments?.['x-single-active-consumer'], 'x-expires': o.expires ?? o.arguments?.['x-expires'] } })))
  console.log('  declare type bogus       :', await tryit((c) => c.assertQueue(q, { durable: true, autoDelete: o.autoDelete ?? false, arguments: { 'x-queue-type': 'stream' } })))
  console.log('  consume bogus offset     :', await tryit(async (c) => { await c.prefetch(1); return await c.consume(q, () => {}, { arguments: { 'x-stream-offset': 'bogus' } }) }))
  console.log('  consume bogus offset excl:', await tryit(async (c) => { await c.prefetch(1); return await c.consume(q, () => {}, { exclusive: true, arguments: { 'x-stream-offset': 'bogus' } }) }))
  console.log('  consume global qos       :', await tryit(async (c) => { await c.prefetch(1, true); return await c.consume(q, () => {}) }))
  console.log('  consume no prefetch      :', await tryit(async (c) => { return await c.consume(q, () => {}) }))
  console.log('  consume noAck            :', await tryit(async (c) => { await c.prefetch(1); return await c.consume(q, () => {}, {noAck:true}) }))
}
// amq.gen
const g = await ch(); const gq = (await g.assertQueue('', { exclusive: true })).queue
console.log('amq.gen declare', await tryit((c) => c.assertQueue(gq, { exclusive: true, autoDelete: true, durable: true })))
// expiry renewal by passive declare
for (const t of ['classic', 'quorum']) {
  const q = `exp-${t}-${id}`
  const c = await ch()
  await c.assertQueue(q, { durable: true, expires: 1500, arguments: { 'x-queue-type': t } })
  const { consumerTag } = await c.consume(q, () => {})
  await c.cancel(consumerTag)
  let ok = 0
  try { for (let i = 0; i < 12; i++) { await sleep(400); await c.checkQueue(q); ok++ } } catch (e) { console.log(e.message) }
  console.log('passive keeps', t, ok, 'of 12')
}
for (const k of Object.keys(kinds)) { await tryit((c) => c.deleteQueue(`${k}-${id}`)) }
await conn.close()
