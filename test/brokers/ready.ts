import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What is being waited for: a process or a container. */
export interface Starting {
  readonly name: string
  hasEnded(): boolean
  /** The end of what it printed. */
  lastOutput(): string
}

/** Repeats `probe` until it gives an answer. Rejects when the server ends first, or after `timeoutSeconds`. */
export async function untilReady<Answer>(
  server: Starting,
  probe: () => Promise<Answer>,
  timeoutSeconds = 240,
): Promise<Answer> {
  const deadline = performance.now() + timeoutSeconds * 1000
  for (;;) {
    if (server.hasEnded()) throw new Error(`${server.name} ended before it was ready:\n${server.lastOutput()}`)
    try {
      return await probe()
    } catch (error) {
      if (performance.now() > deadline) {
        const message = `${server.name} was not ready after ${timeoutSeconds} s:\n${server.lastOutput()}`
        throw new Error(message, { cause: error })
      }
      await sleep(50)
    }
  }
}

/**
 * A free port of 127.0.0.1 below the range of outgoing connections: from inside that range, a client that reconnects to
 * a stopped server can be given the server's port and connect to itself, and the server cannot come back.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)
    if ((await isFree(port)) && (await reserve(port))) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * A server takes its port seconds after it was chosen, and leaves it when it is restarted. Meanwhile no other process of
 * the tests may choose it, so each keeps a port for itself that stands for it, at an address of this machine that nobody
 * uses. (Not the port of that number: RabbitMQ looks whether its port is taken at any address.)
 */
function reserve(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    // Not every system has more than one such address: there the chance of a collision has to do.
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EADDRNOTAVAIL'))
    server.listen({ port: port + 30_000, host: '127.0.0.77', exclusive: true }, () => resolve(true)).unref()
  })
}
