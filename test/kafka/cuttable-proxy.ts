import { connect, createServer, type Server, type Socket } from 'node:net'

/** Stands between clients and a Kafka that advertises it, and cuts a client off from it. */
export class CuttableProxy {
  /** where connections lead, `host:port`; to be set before clients connect */
  target = ''
  readonly #server: Server
  readonly #cut = new Set<string>()
  readonly #silent = new Set<string>()
  readonly #sockets = new Map<Socket, string>()
  readonly #behind = new Map<Socket, Socket>()

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => this.#serve(socket))
  }

  static async listen(): Promise<CuttableProxy> {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return new CuttableProxy(server)
  }

  get address(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen')
    return `127.0.0.1:${address.port}`
  }

  cut(clientId: string): void {
    this.#cut.add(clientId)
    for (const [socket, id] of this.#sockets) if (id === clientId) socket.destroy()
  }

  mend(clientId: string): void {
    this.#cut.delete(clientId)
  }

  /** Passes nothing on any more, either way, and closes nothing, as when a machine or a network is gone. */
  silence(clientId: string): void {
    this.#silent.add(clientId)
    for (const [socket, id] of this.#sockets) {
      const behind = this.#behind.get(socket)
      if (id !== clientId || behind === undefined) continue
      socket.unpipe(behind)
      behind.unpipe(socket)
      socket.resume()
      behind.resume()
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets.keys()) socket.destroy()
    await closed
  }

  #serve(socket: Socket): void {
    this.#sockets.set(socket, '')
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const begin = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk])
      const clientId = clientIdIn(seen)
      if (clientId === undefined) return
      socket.off('data', begin)
      if (this.#cut.has(clientId)) return void socket.destroy()
      this.#sockets.set(socket, clientId)
      if (this.#silent.has(clientId)) return void socket.resume()
      const [host, port] = this.target.split(':')
      const behind = connect({ host: host as string, port: Number(port) })
      behind.on('error', () => socket.destroy())
      behind.once('close', () => socket.destroy())
      socket.once('close', () => behind.destroy())
      behind.write(seen)
      this.#behind.set(socket, behind)
      socket.once('close', () => this.#behind.delete(socket))
      socket.pipe(behind)
      behind.pipe(socket)
    }
    let seen = Buffer.alloc(0)
    socket.on('data', begin)
  }
}

/**
 * Every connection begins with a request: size, api key, api version and correlation id (int32, int16, int16, int32), then
 * the client's id with its length (int16).
 */
function clientIdIn(bytes: Buffer): string | undefined {
  const at = 14
  if (bytes.length < at) return undefined
  const length = Math.max(0, bytes.readInt16BE(at - 2))
  return bytes.length < at + length ? undefined : bytes.toString('utf8', at, at + length)
}
