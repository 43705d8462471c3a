import { connect } from 'amqplib'
const url = process.argv[2]
const id = Date.now().toString(36)
const long = 'L'.repeat(300)
const V = {
  str: 'text', empty: '', str255: 's'.repeat(255), str256: 's'.repeat(256), utf: 'ü€😀', utf256: 'ü'.repeat(200),
  bool: true, boolf: false, byte: 5, neg: -5, short: 300, int: 70000, long: 5000000000, neglong: -5000000000, maxsafe: Number.MAX_SAFE_INTEGER, dbl: 1.5, negdbl: -0.25, big: 1e300,
  float: { '!': 'float', value: 1.1 }, tby: { '!': 'byte', value: 7 }, tshort: { '!': 'short', value: 7 }, tint: { '!': 'int', value: 7 }, tlong: { '!': 'long', value: 7 }, tdouble: { '!': 'double', value: 7 },
  nul: null, buf: Buffer.from([1, 2, 255]), bufutf: Buffer.from('plain'), bufempty: Buffer.alloc(0), buf300: Buffer.alloc(300, 7),
  ts: { '!': 'timestamp', value: 1700000000 }, dec: { '!': 'decimal', value: { places: 2, digits: 1234 } },
  tab: { a: 1, b: 'x', c: { d: true } }, tabempty: {}, tablong: { l: long }, arr: [1, 'a', true], arrempty: [], arrlong: [long], arrtab: [{ a: 1 }], arrnull: [null], tabnull: { n: null }, arrbuf: [Buffer.from([255])],tabts: {t:{ '!': 'timestamp', value: 1700000000 }}, arrmix:[1,2.5,'x'],
  'x-str': 'text', 'x-str256': 's'.repeat(256), 'x-num': 5, 'x-tab': { a: 1 }, 'x-arr': [1, 'b'], 'x-nul': null, 'x-buf': Buffer.from([1, 255]), 'x-dbl': 1.5, 'x-ts': { '!': 'timestamp', value: 1700000000 }, 'x-bool': true,
  'x-stream-offset': 77, 'x-stream-filter-value': 'f', 'x-death': [{ a: 1 }], 'x-delivery-count': 3, 'x-opt-a': 'b', 'x-basic-priority':3, 'x-exchange': 'e','x-routing-key':'r', 'X-Upper': 'u', 'a b': 's', 'ü': 'name', long_name: 1,
}
const show = (v) => JSON.stringify(v, (_, x) => (x?.type === 'Buffer' ? `Buffer(${x.data.length}:${x.data.slice(0, 4)})` : typeof x === 'string' && x.length > 30 ? x.slice(0, 5) + '…' + x.length : x))
const tests = Object.entries(V).map(([k, v]) => [k, { headers: { h: 'keep', [k]: v } }])
tests.push(['@props', { contentType: 'a/b', contentEncoding: 'gzip', correlationId: 'c'.repeat(255), messageId: 'm'.repeat(255), replyTo: 'r', type: 't', appId: 'a', userId: 'guest', timestamp: 1700000000, priority: 4, expiration: '100000', deliveryMode: 2 }])
tests.push(['@noprops', {}], ['@ids', { correlationId: '123e4567-e89b-12d3-a456-426614174000', messageId: '42', contentType: '', type: '', appId: '', replyTo: '' }])
tests.push(['@ids2', { correlationId: 'ulong:5', messageId: 'urn:uuid:123e4567-e89b-12d3-a456-426614174000', replyTo: '/queues/x', contentType: 'ü' }], ['@empty', { headers: { h: 1 } }], ['@type256',{type:'t'.repeat(255), appId:'a'.repeat(255), contentType:'c'.repeat(255), contentEncoding:'e'.repeat(255), replyTo:'r'.repeat(255)}])
let first = true
for (const [name, opts] of tests) {
  const res = {}
  for (const type of ['stream', 'classic']) {
    const conn = await connect(url); let err = ''
    conn.on('error', (e) => { err = e.message })
    if (first) { console.log('####', conn.connection.serverProperties.version); first = false }
    const q = `t-${id}-${type}`
    res[type] = await new Promise(async (res) => {
      const done = (x) => { clearTimeout(t); res(x) }
      const t = setTimeout(() => done('TIMEOUT ' + err), 3000)
      conn.on('close', () => done('CONNECTION ' + err))
      try {
        const ch = await conn.createChannel(); ch.on('error', (e) => { err = e.message })
        await ch.assertQueue(q, { durable: true, arguments: { 'x-queue-type': type } })
        await ch.prefetch(5)
        const before = ch
        await ch.consume(q, (m) => { ch.ack(m); const { headers, ...p } = m.properties; const { ...h } = headers ?? {}; if (type === 'stream' && name !== 'x-stream-offset') delete h['x-stream-offset']; done(show({ headers: h, ...(name[0] === '@' && p), len: m.content.length })) }, type === 'stream' ? { arguments: { 'x-stream-offset': 'next' } } : {})
        ch.sendToQueue(q, name === '@empty' ? Buffer.alloc(0) : Buffer.from(name), opts)
      } catch (e) { done('THROW ' + e.message) }
    })
    try { await conn.close() } catch {}
    try { const c2 = await connect(url); c2.on('error', () => {}); const d = await c2.createChannel(); d.on('error', () => {}); await d.deleteQueue(q); await c2.close() } catch {}
  }
  console.log(res.stream === res.classic ? '  same ' : '* DIFF ', name, res.stream === res.classic ? '' : `\n      stream  ${res.stream}\n      classic ${res.classic}`)
}
process.exit(0)
