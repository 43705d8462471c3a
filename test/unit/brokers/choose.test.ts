import type { ContainerRuntimeClient } from 'testcontainers'
import { describe, expect, it } from 'vitest'
import { BrokerMissing, findBroker, requiredBrokers, startServer } from '../../brokers/choose.ts'
import { imageOf } from '../../brokers/docker.ts'
import { brokersNamedBy, findBrokers } from '../../brokers/find-brokers.ts'
import type { BrokerKind, BrokerName, BrokerServer } from '../../brokers/kind.ts'

interface Situation {
  readonly name?: BrokerName
  readonly answersAt?: string
  readonly inDocker?: 'starts' | 'fails'
  readonly installed?: boolean
}

/** A kind of broker whose starters only write down that they were asked. */
function fakeKind({ name = 'redis', answersAt, inDocker, installed = false }: Situation) {
  const log: string[] = []
  const server = (way: BrokerServer['way']): BrokerServer => {
    log.push(`start ${way}`)
    const act = (what: string) => async () => {
      log.push(`${what} ${way}`)
    }
    return { address: `${way}:1`, version: '1.0', way, kill: act('kill'), restart: act('restart'), stop: act('stop') }
  }
  const kind: BrokerKind<object, BrokerServer> = {
    name,
    probe: async (address) => {
      if (address !== answersAt) throw new Error('nobody there')
      return '2.0'
    },
    isInstalled: () => installed,
    startLocally: async () => server('local'),
    startInDocker: async () => {
      if (inDocker === 'fails') throw new Error('no such image')
      return server('docker')
    },
  }
  const engine = inDocker === undefined ? undefined : ({} as ContainerRuntimeClient)
  return { kind, log, findEngine: async () => engine }
}

describe('which broker the tests get', () => {
  it('takes the address in the environment before anything is started', async () => {
    const { kind, log, findEngine } = fakeKind({ answersAt: 'given:1', inDocker: 'starts', installed: true })
    const found = await findBroker(kind, { TEST_REDIS_URL: 'given:1' }, findEngine)
    await found.stop()
    expect(found).toMatchObject({ address: 'given:1', version: '2.0' })
    expect(log).toEqual([])
  })

  it('fails when nobody answers at the address in the environment', async () => {
    const { kind, log, findEngine } = fakeKind({ inDocker: 'starts', installed: true })
    const finding = findBroker(kind, { TEST_REDIS_URL: 'dead:1' }, findEngine)
    await expect(finding).rejects.not.toBeInstanceOf(BrokerMissing)
    expect(log).toEqual([])
  })

  it('takes Docker before the program on this machine', async () => {
    const { kind, log, findEngine } = fakeKind({ inDocker: 'starts', installed: true })
    const found = await findBroker(kind, {}, findEngine)
    await found.stop()
    expect(found.address).toBe('docker:1')
    expect(log).toEqual(['start docker', 'stop docker'])
  })

  it.each([undefined, 'fails'] as const)('takes the program on this machine when Docker %s', async (inDocker) => {
    const { kind, log, findEngine } = fakeKind({ ...(inDocker && { inDocker }), installed: true })
    expect((await startServer(kind, {}, findEngine)).address).toBe('local:1')
    expect(log).toEqual(['start local'])
  })

  it.each([undefined, 'fails'] as const)('is missing when Docker %s and nothing is installed', async (inDocker) => {
    const { kind, findEngine } = fakeKind({ ...(inDocker && { inDocker }) })
    await expect(findBroker(kind, {}, findEngine)).rejects.toBeInstanceOf(BrokerMissing)
  })
})

describe('all brokers of a run', () => {
  const setUp = () => {
    const here = fakeKind({ name: 'rabbitmq', installed: true })
    const missing = fakeKind({ name: 'kafka' })
    const lines: string[] = []
    const find: typeof findBroker = (kind) => findBroker(kind, {}, async () => undefined)
    return { here, lines, kinds: [here.kind, missing.kind], options: { say: (line: string) => lines.push(line), find } }
  }

  it('leaves out one that is missing, and says a line about each', async () => {
    const { kinds, lines, options } = setUp()
    const found = await findBrokers(kinds, { required: ['rabbitmq'], ...options })
    expect([...found.keys()]).toEqual(['rabbitmq'])
    expect(lines.map((line) => line.split(' ')[0]).sort()).toEqual(['kafka', 'rabbitmq'])
    expect(lines.find((line) => line.startsWith('kafka'))).toContain('TEST_KAFKA_BROKERS')
  })

  it('fails when a required one is missing, names it, and stops the others', async () => {
    const { here, kinds, options } = setUp()
    const finding = findBrokers(kinds, { required: ['kafka'], ...options })
    await expect(finding).rejects.toBeInstanceOf(BrokerMissing)
    await expect(finding).rejects.toThrow(/kafka.*TEST_KAFKA_BROKERS/)
    expect(here.log).toEqual(['start local', 'stop local'])
  })
})

it('reads the required brokers, and refuses a name that is none', () => {
  expect(requiredBrokers({})).toEqual([])
  expect(requiredBrokers({ TEST_REQUIRE_BROKERS: 'rabbitmq, kafka' })).toEqual(['rabbitmq', 'kafka'])
  expect(() => requiredBrokers({ TEST_REQUIRE_BROKERS: 'rabitmq' })).toThrow()
})

it('starts only what the paths of the selected files name', () => {
  const names = ['rabbitmq', 'kafka', 'redis'] as const
  expect(brokersNamedBy([], names)).toEqual([])
  expect(brokersNamedBy(['test/redis-streams/groups.test.ts', 'test/rabbitmq/confirms.test.ts'], names)).toEqual([
    'rabbitmq',
    'redis',
  ])
  expect(brokersNamedBy(['test/kafka/offsets.test.ts', 'test/examples.test.ts'], names)).toEqual(names)
})

it.each([
  ['rabbitmq', 'rabbitmq:4'],
  ['kafka', 'apache/kafka:4.'],
  ['redis', 'redis:8'],
] as const)('finds the image of %s in docker-compose.test.yml', (service, image) => {
  expect(imageOf(service).startsWith(image)).toBe(true)
})
