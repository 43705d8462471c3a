import { median, quantile } from '../measure.ts'
import type { Load, Way } from './loads.ts'

/** One run of one program. */
export interface Sample {
  readonly perSecond: number
  /** CPU microseconds a message */
  readonly producer: number
  readonly consumer: number
  /** undefined where the system does not tell */
  readonly broker: number | undefined
  /** that the producer wrote to its sockets, a message */
  readonly bytes: number
  /** milliseconds; none unless the messages came at a pace */
  readonly latencies: readonly number[]
}

/** What was measured at a load: samples by way, one a round, so that those of one index belong together. */
export interface Outcome {
  readonly load: Load
  /** messages a second that were to be sent; undefined: as many as go through */
  readonly rate: number | undefined
  readonly samples: ReadonlyMap<Way, readonly Sample[]>
}

type Pick = (sample: Sample) => number | undefined

/** The median of something over all rounds. */
export function typical({ samples }: Outcome, way: Way, pick: Pick): number | undefined {
  return medianOf((samples.get(way) ?? []).map(pick))
}

/** The median of what a way is to another in the same round. */
export function ratio(outcome: Outcome, way: Way, other: Way, pick: Pick): number | undefined {
  return paired(outcome, way, other, pick, (own, theirs) => own / theirs)
}

/** The median of what a way needs more than another in the same round. */
export function added(outcome: Outcome, way: Way, other: Way, pick: Pick): number | undefined {
  return paired(outcome, way, other, pick, (own, theirs) => own - theirs)
}

function paired(
  { samples }: Outcome,
  way: Way,
  other: Way,
  pick: Pick,
  join: (own: number, theirs: number) => number,
): number | undefined {
  const others = samples.get(other) ?? []
  return medianOf(
    (samples.get(way) ?? []).map((sample, round) => {
      const [own, theirs] = [pick(sample), others[round] && pick(others[round])]
      return own === undefined || theirs === undefined ? undefined : join(own, theirs)
    }),
  )
}

function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 || known.length < values.length ? undefined : median(known)
}

/** How many processors were busy with a run. */
export function processorsBusy({ perSecond, producer, consumer, broker }: Sample): number | undefined {
  return broker === undefined ? undefined : (perSecond * (producer + consumer + broker)) / 1e6
}

/** Whether the messages went through at the pace they were to be sent. */
export function keepsUp(outcome: Outcome, way: Way): boolean {
  const reached = typical(outcome, way, ({ perSecond }) => perSecond) ?? 0
  return outcome.rate === undefined || reached >= 0.95 * outcome.rate
}

/** In milliseconds; undefined where the pace was too much. */
export function latency(outcome: Outcome, way: Way, q: number): number | undefined {
  if (!keepsUp(outcome, way)) return undefined
  return quantile(outcome.samples.get(way)?.flatMap(({ latencies }) => latencies) ?? [], q)
}

export const rateOf: Pick = ({ perSecond }) => perSecond
