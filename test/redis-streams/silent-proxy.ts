import { connect, createServer, type Server, type Socket } from 'node:net'

/** Stands between clients and a Redis, and can fall silent: nothing goes through and nothing is closed, as when a cable is cut. */
export class SilentProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #silent = false
  /** how many connections were made through it */
  connections = 0

  private constructor(server: Server, target: URL) {
    this.#server = server
    server.on('connection', (socket) => this.#serve(socket, target))
  }

  static async listen(url: string): Promise<SilentProxy> {
    const server = createServer({ allowHalfOpen: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return new SilentProxy(server, new URL(url))
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen')
    return `redis://127.0.0.1:${address.port}`
  }

  /** From now on nothing passes, on new connections either. */
  fallSilent(): void {
    this.#silent = true
    for (const socket of this.#sockets) socket.pause()
  }

  /** New connections pass again. Those that were there stay as they are: they are dead, and their client has to find out. */
  mend(): void {
    this.#silent = false
  }

  /** Ends every connection, and what was silent passes no more. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }

  #serve(near: Socket, { hostname, port }: URL): void {
    this.connections++
    this.#keep(near)
    if (this.#silent) {
      near.pause()
      return
    }
    const far = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    this.#keep(far)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('data', (chunk) => other.write(chunk))
      one.on('end', () => other.end())
      one.on('close', () => {
        if (!this.#silent) other.destroy()
      })
    }
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
  }
}
