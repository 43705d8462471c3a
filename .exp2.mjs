import { connect } from 'amqplib'
import { setTimeout as sleep } from 'node:timers/promises'
const url = process.argv[2]
const id = Date.now().toString(36)
const open = async () => { const c = await connect(url); c.on('error', (e) => console.log('CONN ERROR', e.message)); return c }
const short = (e) => e.message.replace(/.*with message /, '')
const conn = await open()
console.log('#### version', conn.connection.serverProperties.version)
async function sect(name, f) { const c = await open(); console.log('==', name); try { await f(c) } catch (e) { console.log('  ERR', short(e)) } finally { try { await c.close() } catch {} } }
const chan = async (c) => { const ch = await c.createConfirmChannel(); ch.on('error', (e) => console.log('  CH ERROR', short(e))); ch.on('close', () => console.log('  ch closed')); return ch }
for (const t of ['classic', 'quorum']) await sect('passive keeps ' + t, async (c) => {
  const q = `exp-${t}-${id}`, ch = await chan(c)
  await ch.assertQueue(q, { durable: true, expires: 1500, arguments: { 'x-queue-type': t } })
  const { consumerTag } = await ch.consume(q, () => {}); await ch.cancel(consumerTag)
  let ok = 0
  try { for (let i = 0; i < 10; i++) { await sleep(400); await ch.checkQueue(q); ok++ } } catch (e) { }
  console.log('  passive', ok, 'of 10')
})
for (const t of ['classic', 'quorum']) await sect('consume bogus keeps ' + t, async (c) => {
  const q = `expb-${t}-${id}`, ch = await chan(c)
  await ch.assertQueue(q, { durable: true, expires: 1500, arguments: { 'x-queue-type': t } })
  const { consumerTag } = await ch.consume(q, () => {}); await ch.cancel(consumerTag)
  let ok = 0
  for (let i = 0; i < 8; i++) { await sleep(400); const d = await c.createChannel(); d.on('error', () => {}); try { await d.assertQueue(q, { durable: true, expires: 1500, arguments: { 'x-queue-type': t } }); ok++; await d.close() } catch (e) { } }
  try { const d = await c.createChannel(); d.on('error', () => {}); const r = await d.checkQueue(q); console.log('  active redeclare keeps', r) } catch (e) { console.log('  gone') }
})
await sect('stream type question', async (c) => {
  const q = `s-${id}`, ch = await chan(c)
  await ch.assertQueue(q, { durable: true, arguments: { 'x-queue-type': 'stream' } })
  const d = await c.createChannel(); d.on('error', () => {}); await d.prefetch(1)
  await d.consume(q, () => {}, { arguments: { 'x-stream-offset': 'queueauth' } }).catch((e) => console.log('  ', e.message))
  const e2 = await c.createChannel(); e2.on('error', () => {})
  await e2.consume(q, () => {}, { arguments: { 'x-stream-offset': 'queueauth' } }).catch((e) => console.log('  noprefetch', e.message))
})
for (const t of ['classic', 'quorum', 'stream']) await sect('consumer timeout ' + t, async (c) => {
  const q = `to-${t}-${id}`, ch = await chan(c)
  await ch.assertQueue(q, { durable: true, arguments: { 'x-queue-type': t } })
  for (const b of ['a', 'b', 'c']) ch.sendToQueue(q, Buffer.from(b)); await ch.waitForConfirms()
  await ch.prefetch(2)
  const t0 = Date.now()
  await ch.consume(q, (m) => { console.log('  +' + ((Date.now() - t0) / 1000).toFixed(1), m ? m.content.toString() + ' tag ' + m.fields.deliveryTag + ' ' + m.fields.redelivered + ' ' + JSON.stringify(m.properties.headers) : m) }, { consumerTag: 'T', ...(t === 'stream' && { arguments: { 'x-stream-offset': 'first' } }) })
  await sleep(75000)
}).catch?.(() => {})
await conn.close()
