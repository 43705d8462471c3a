import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { runInNewContext } from 'node:vm'
import amqplib from 'amqplib'
import { describe, expect, it } from 'vitest'
import { isIoredis } from '../../src/ioredis-client.ts'

const require = createRequire(import.meta.url)

type Make = new (...args: unknown[]) => object

/** Never connected: they are only looked at. */
const lazy = { lazyConnect: true }

function classesOf(name: string): { Redis: Make; Cluster: Make } {
  const exported = require(name) as { Redis?: Make; default: Make; Cluster: Make }
  return { Redis: exported.Redis ?? exported.default, Cluster: exported.Cluster }
}

describe.each(['ioredis-5.0', 'ioredis-5', 'ioredis', 'iovalkey'])('%s', (name) => {
  const { Redis, Cluster } = classesOf(name)
  const redis = (): object => new Redis(lazy)
  const cluster = (): object => new Cluster([{ host: '127.0.0.1', port: 1 }], lazy)

  it('is known, a Redis and a Cluster', () => {
    expect(isIoredis(redis())).toBe(true)
    expect(isIoredis(cluster())).toBe(true)
  })

  it('is known as a subclass, as a child and behind a Proxy', () => {
    class Mine extends Redis {
      sendCommand(): void {}
    }
    class MineToo extends Mine {}
    expect(isIoredis(new MineToo(lazy))).toBe(true)
    expect(isIoredis(Object.create(redis()))).toBe(true)
    expect(isIoredis(new Proxy(redis(), {}))).toBe(true)
  })

  it('is known with methods of its own on top, as tracers and stubs put them', () => {
    const traced = redis() as Record<string, unknown>
    traced.sendCommand = () => undefined
    traced.duplicate = () => undefined
    expect(isIoredis(traced)).toBe(true)
  })

  it('is not a spread copy, a pipeline or a prototype', () => {
    const one = redis() as { pipeline(): unknown }
    expect(isIoredis({ ...one })).toBe(false)
    expect(isIoredis(one.pipeline())).toBe(false)
    expect(isIoredis(Redis.prototype)).toBe(false)
    expect(isIoredis(Cluster.prototype)).toBe(false)
    expect(isIoredis(Redis)).toBe(false)
  })
})

describe.each(['redis-4', 'redis-5', 'redis'])('%s', (name) => {
  const made = require(name) as Record<string, ((options?: object) => unknown) | undefined>
  const options: Record<string, object> = {
    createCluster: { rootNodes: [{ url: 'redis://127.0.0.1:1' }] },
    createSentinel: { name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] },
  }

  it.each(['createClient', 'createCluster', 'createClientPool', 'createSentinel'])(
    '%s makes another client',
    (make) => {
      // Version 4 has neither pools of their own nor sentinels.
      const client = made[make]?.(options[make])
      expect(isIoredis(client)).toBe(false)
    },
  )
})

describe('anything else', () => {
  it('is not known, and nothing is thrown', () => {
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    const throwing = Object.defineProperty({}, 'status', {
      get: () => {
        throw new Error('a getter')
      },
    })
    const values = [null, undefined, 0, 'redis', Symbol('redis'), () => undefined, [], {}, new EventEmitter(), amqplib]
    for (const value of [...values, revoked.proxy, throwing, Object.create(null)]) expect(isIoredis(value)).toBe(false)
  })

  it('is not known by its shape', () => {
    const { Redis } = classesOf('ioredis')
    const method = (): void => undefined
    const shape = {
      ...new Redis(lazy),
      ...Object.fromEntries(
        ['sendCommand', 'connect', 'disconnect', 'duplicate', 'setStatus', 'flushQueue', 'call', 'xadd'].map((name) => [
          name,
          method,
        ]),
      ),
    }
    expect(isIoredis(shape)).toBe(false)
  })

  it('is known whichever realm its sets come from', () => {
    const { Redis } = classesOf('ioredis')
    const redis = new Redis(lazy)
    const foreign = runInNewContext('({ set: new Set(), map: new Map() })') as { set: unknown; map: unknown }
    Object.assign(redis, { addedBuiltinSet: foreign.set, _autoPipelines: foreign.map })
    expect(isIoredis(redis)).toBe(true)
  })
})
