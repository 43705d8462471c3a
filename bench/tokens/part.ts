import type { Algorithm } from '../../src/keys/algorithms.ts'
import { type Bar, barChart, lineChart, type Point } from '../charts.ts'
import type { Medians } from '../measure.ts'
import type { Plan } from '../plan.ts'
import type { Report } from '../report.ts'
import { bytesName, number, table } from '../text.ts'
import { batchName, compareBatches, compareSingle, isOurs, type TokenCosts } from './compare.ts'
import { opensslSpeed } from './openssl.ts'

/** What the goals and the charts are about. */
const MAIN = { algorithm: 'Ed25519', bytes: 1024 }

/** Signing and verifying without a broker: the limit, other libraries, and ours by size of batch and of body. */
export async function measureTokens(plan: Plan, report: Report): Promise<void> {
  report.section(
    '## Tokens',
    '',
    'CPU µs a message, in one process. `node:crypto` signs and verifies 420 bytes and does nothing else. The others make and',
    'check the same claims, the digest of the body among them. Verifying a batch begins with its signature every time. Messages',
    'have the same properties and headers; with a message id for each, these are digested anew for each.',
  )
  const points: Point[] = []
  for (const algorithm of plan.algorithms) {
    report.progress(`openssl speed, ${algorithm}`)
    const limit = opensslSpeed(algorithm, plan.opensslSeconds)
    for (const bytes of plan.bodies) {
      report.progress(`tokens, ${algorithm}, ${bytesName(bytes)}`)
      const costs = await costsOf(algorithm, bytes, plan)
      const rows = [...costs.sign.keys()].map((name) => [
        name,
        number(costs.sign.get(name)),
        number(costs.verify.get(name)),
      ])
      if (limit !== undefined) rows.unshift(['openssl speed', number(limit.sign), number(limit.verify)])
      report.section(`### ${algorithm}, bodies of ${bytesName(bytes)}`, '', ...table(['', 'sign', 'verify'], rows))
      if (algorithm === MAIN.algorithm) points.push(...pointsOf(costs, bytes, plan.sizes))
      if (algorithm !== MAIN.algorithm || bytes !== MAIN.bytes) continue
      setGoals(costs, limit, report)
      const bars: Bar[] = (['sign', 'verify'] as const).flatMap((group) =>
        [...costs[group]].map(([name, value]) => ({ group, name, value, ours: isOurs(name) })),
      )
      report.chart(await barChart('tokens.svg', 'Ed25519, bodies of 1 KiB', 'CPU µs a message', bars))
    }
  }
  const axes = { x: 'messages in a batch', y: 'CPU µs a message', scale: 'log' } as const
  report.chart(await lineChart('batches.svg', 'Ed25519: batches by size and body', axes, points))
}

async function costsOf(algorithm: Algorithm, bytes: number, { effort, sizes }: Plan): Promise<TokenCosts> {
  const single = await compareSingle(algorithm, bytes, effort)
  const batch = await compareBatches(algorithm, bytes, sizes, effort)
  return { sign: new Map([...single.sign, ...batch.sign]), verify: new Map([...single.verify, ...batch.verify]) }
}

function pointsOf(costs: TokenCosts, bytes: number, sizes: readonly number[]): Point[] {
  return (['sign', 'verify'] as const).flatMap((group) =>
    sizes.map((size) => ({
      group,
      name: bytesName(bytes),
      x: size,
      y: costs[group].get(batchName(size)) as number,
    })),
  )
}

function setGoals({ sign, verify }: TokenCosts, limit: { sign: number } | undefined, report: Report): void {
  const ratio = (costs: Medians, other: string, own: string): number =>
    (costs.get(other) as number) / (costs.get(own) as number)
  const batch = batchName(256)
  report.goal(
    'sign, single, against openssl speed',
    limit && limit.sign / (sign.get('single') as number),
    'at least',
    1,
  )
  report.goal('sign, single, against sequential jose', ratio(sign, 'jose', 'single'), 'at least', 2.5)
  report.goal('sign, single, against fast-jwt', ratio(sign, 'fast-jwt', 'single'), 'at least', 1)
  report.goal('verify, single, against node:crypto', ratio(verify, 'node:crypto', 'single'), 'at least', 0.95)
  report.goal('verify, single, against fast-jwt', ratio(verify, 'fast-jwt', 'single'), 'at least', 1)
  report.goal('sign, batch of 256, against jose', ratio(sign, 'jose, 32 in flight', batch), 'at least', 24)
  report.goal('verify, batch of 256, against jose', ratio(verify, 'jose, 32 in flight', batch), 'at least', 30)
}
