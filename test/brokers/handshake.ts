import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** Each probe speaks just enough of a broker's protocol to tell that it serves, and gives its version where it says so. */

const timeoutMs = 30_000

/** AMQP 0-9-1 section 4.2.2: the protocol header is answered by Connection.Start, whose properties name the version. */
export async function probeRabbitmq(amqpUrl: string): Promise<string> {
  const url = new URL(amqpUrl)
  const start = await exchange(
    url,
    url.protocol === 'amqps:',
    5672,
    Buffer.from('AMQP\0\0\x09\x01', 'latin1'),
    (data) => (data.length >= 7 && data.length >= 8 + data.readUInt32BE(3) ? data : undefined),
  )
  if (start[0] !== 1 || start.readUInt16BE(7) !== 10 || start.readUInt16BE(9) !== 10) {
    throw new Error(`${url.host} did not answer with AMQP 0-9-1 Connection.Start`)
  }
  const key = start.indexOf('\x07versionS')
  if (key < 0) return 'of unknown version'
  const at = key + 9
  return start.toString('utf8', at + 4, at + 4 + start.readUInt32BE(at))
}

/** `INFO server` is answered once the data set is loaded; until then the reply is an error. */
export async function probeRedis(redisUrl: string): Promise<string> {
  const url = new URL(redisUrl)
  const credentials = [url.username, url.password].filter((part) => part !== '').map(decodeURIComponent)
  const request = [credentials.length > 0 ? respArray(['AUTH', ...credentials]) : '', respArray(['INFO', 'server'])]
  return await exchange(url, url.protocol === 'rediss:', 6379, Buffer.from(request.join('')), (data) => {
    const text = data.toString()
    const refusal = text.match(/^-.*$/m)
    if (refusal !== null) throw new Error(`${url.host} answered ${refusal[0].trim()}`)
    // Valkey also names the version of Redis that it stands for.
    const valkey = text.match(/^valkey_version:(\S+)\r\n/m)?.[1]
    return valkey === undefined ? text.match(/^redis_version:(\S+)\r\n/m)?.[1] : `(Valkey ${valkey})`
  })
}

function respArray(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}

/** Waits for `done` to make something of all that came in answer to `request`. */
export function exchange<Answer>(
  url: URL,
  secure: boolean,
  defaultPort: number,
  request: Buffer,
  done: (data: Buffer) => Answer | undefined,
): Promise<Answer> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = Number(url.port) || defaultPort
  return new Promise((resolve, reject) => {
    const socket: Socket = secure ? connectTls({ host, port }) : connect({ host, port })
    let data = Buffer.alloc(0)
    const fail = (error: Error): void => {
      socket.destroy()
      reject(error)
    }
    socket.setTimeout(timeoutMs, () => fail(new Error(`${url.host} did not answer within ${timeoutMs / 1000} s`)))
    socket.once('error', fail)
    socket.once('close', () => fail(new Error(`${url.host} closed the connection`)))
    socket.once(secure ? 'secureConnect' : 'connect', () => socket.write(request))
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, chunk])
      try {
        const answer = done(data)
        if (answer === undefined) return
        resolve(answer)
        socket.destroy()
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
}
