import type { QueuePolicyLine } from '../../authorized-keys/queue-policy.ts'
import { DEFAULT_MAX_AGE_SECONDS, type ResolvedPolicy } from '../../policy.ts'
import { formatDuration, formatTime } from '../times.ts'
import type { AccessChange } from './compare.ts'
import { placeText } from './finding.ts'

type Overrides = QueuePolicyLine['overrides']

/** Where a file says nothing the code does, which is not known here: its defaults are taken. */
const DEFAULTS: ResolvedPolicy = {
  rollout: 'enforce',
  acceptUnsignedUntil: undefined,
  delivered: true,
  destinations: undefined,
  maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS,
}

/** What changed in queue_policy, line by line: lines are the same when they name the same queues. */
export function comparePolicies(before: readonly QueuePolicyLine[], after: readonly QueuePolicyLine[]): AccessChange[] {
  const [old, now] = [byQueues(before), byQueues(after)]
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((queues) => {
    const line = placeText((now.get(queues) ?? old.get(queues))?.position ?? {})
    const changes = compare(
      { ...DEFAULTS, ...old.get(queues)?.overrides },
      { ...DEFAULTS, ...now.get(queues)?.overrides },
    )
    return changes.map(([effect, when]) => ({ effect, who: 'everybody', queues, when, line }))
  })
}

function byQueues(lines: readonly QueuePolicyLine[]): Map<string, QueuePolicyLine> {
  return new Map(lines.map((line) => [line.queues.patterns.join(), line]))
}

type Change = readonly [effect: AccessChange['effect'], what: string]

function compare(old: ResolvedPolicy, now: ResolvedPolicy): Change[] {
  const changes: Change[] = []
  const note = (isWider: boolean, what: string): void => void changes.push([isWider ? 'lets in' : 'shuts out', what])
  if (old.rollout !== now.rollout) note(now.rollout === 'observe', `rollout: ${old.rollout} to ${now.rollout}`)
  if (old.acceptUnsignedUntil !== now.acceptUnsignedUntil) {
    const isWider = (now.acceptUnsignedUntil ?? 0) > (old.acceptUnsignedUntil ?? 0)
    note(isWider, `unsigned messages: ${until(old)} to ${until(now)}`)
  }
  if (old.maxAgeSeconds !== now.maxAgeSeconds) {
    const ages = `${formatDuration(old.maxAgeSeconds)} to ${formatDuration(now.maxAgeSeconds)}`
    note(now.maxAgeSeconds > old.maxAgeSeconds, `max-age: ${ages}`)
  }
  const [from, to] = [destinations(old), destinations(now)]
  if (from !== to) {
    // Which of two lists is wider depends on the addresses there are: both sides are told.
    if (now.destinations !== undefined || !now.delivered) note(true, `destinations: ${from} to ${to}`)
    if (old.destinations !== undefined || !old.delivered) note(false, `destinations: ${from} to ${to}`)
  }
  return changes
}

function until({ acceptUnsignedUntil }: Overrides): string {
  return acceptUnsignedUntil === undefined ? 'refused' : `accepted until ${formatTime(acceptUnsignedUntil / 1000)}`
}

function destinations({ delivered, destinations }: Overrides): string {
  return [...(delivered === true ? ['delivered'] : []), ...(destinations?.patterns ?? [])].join()
}
