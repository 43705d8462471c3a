import { findName } from '../../authorized-keys/pattern-relations.ts'
import { type Allow, type AuthorizedLine, createSnapshot } from '../../authorized-keys/snapshot.ts'
import { publicJwk } from '../../keys/public-key.ts'
import { DEFAULT_MAX_AGE_SECONDS } from '../../policy.ts'
import { formatDuration, formatTime } from '../times.ts'
import { type Finding, placeText, type Rule } from './finding.ts'

/** RSA keys as strong as the other types have this many bits (NIST SP 800-57). */
const GOOD_RSA_BITS = 3072

/**
 * What is risky about lines that are right.
 *
 * @param now seconds since 1970
 * @param noticeSeconds how long before its end a window is worth a warning
 */
export function checkLines(
  allows: readonly Allow[],
  revocations: ReadonlySet<string>,
  now: number,
  noticeSeconds: number,
): Finding[] {
  const { isRevoked } = createSnapshot(allows, revocations)
  const findings: Finding[] = []
  const byKey = new Map<string, Allow[]>()
  for (const allow of allows) byKey.set(allow.key.keyId, [...(byKey.get(allow.key.keyId) ?? []), allow])
  for (const allow of allows) {
    const { key, line } = allow
    const ownLines = byKey.get(key.keyId) ?? []
    const warn = (rule: Rule, text: string): void => {
      findings.push({ severity: 'warning', rule, place: placeText(line.position), text })
    }
    if (isRevoked(key)) {
      warn('revoked-line', `its key is revoked, so it authorizes nothing: delete the line`)
      continue
    }
    const end = windowText(line, now, noticeSeconds, () => hasSuccessor(allows, allow, isRevoked))
    if (end !== undefined) warn(...end)
    if (line.services.length > 1) {
      warn('shared-line', `${line.services.join(', ')} share the key and can sign as each other: give each its own`)
    }
    const namesakes = ownLines.filter((other) => !sameServices(other.line, line))
    if (namesakes.length > 0) {
      const places = namesakes.map(({ line: { position, services } }) => `${placeText(position)} (${services})`)
      warn('shared-key', `the same key stands at ${places.join(' and ')}: they can sign as each other`)
    }
    if (key.type === 'rsa') {
      const bits = Buffer.from(publicJwk(key).n ?? '', 'base64url').length * 8
      if (bits < GOOD_RSA_BITS)
        warn('short-rsa-key', `an RSA key of ${bits} bits: replace it by Ed25519, or ${GOOD_RSA_BITS}`)
    }
    const wider = ownLines.find((other) => other !== allow && includes(other, allow, ownLines))
    if (wider !== undefined)
      warn('line-redundant', `${placeText(wider.line.position)} allows all of it: delete the line`)
  }
  return findings
}

function windowText(
  { validBefore, services }: AuthorizedLine,
  now: number,
  noticeSeconds: number,
  hasNext: () => boolean,
): [Rule, string] | undefined {
  if (validBefore === undefined) return undefined
  if (now > validBefore + DEFAULT_MAX_AGE_SECONDS) {
    return ['window-over', `its window ended on ${formatTime(validBefore)}: delete the line`]
  }
  // Being retired, which takes as long as messages may wait.
  if (hasNext() || now - validBefore > noticeSeconds || validBefore - now > noticeSeconds) return undefined
  const when = now < validBefore ? `ends in ${formatDuration(validBefore - now)}` : 'has ended'
  return [
    'window-ends-soon',
    `its window ${when} (${formatTime(validBefore)}), and ${services} has no other key that is good longer`,
  ]
}

/** Whether another key takes over what the line allows. */
function hasSuccessor(
  allows: readonly Allow[],
  { key, line }: Allow,
  isRevoked: (key: Allow['key']) => boolean,
): boolean {
  const end = line.validBefore ?? 0
  const later = allows.filter(
    (other) =>
      other.key.keyId !== key.keyId &&
      !isRevoked(other.key) &&
      line.services.every((service) => other.line.services.includes(service)) &&
      (other.line.validBefore ?? Number.POSITIVE_INFINITY) > end &&
      (other.line.validAfter ?? 0) <= end,
  )
  return later.some((other) => covers(other.line, line))
}

/** Whether one line of a key allows everything that another does; of two that say the same, the first. */
function includes(wide: Allow, narrow: Allow, allows: readonly Allow[]): boolean {
  const [a, b] = [wide.line, narrow.line]
  const fits =
    a.algorithm === b.algorithm &&
    b.services.every((service) => a.services.includes(service)) &&
    (a.validAfter ?? 0) <= (b.validAfter ?? 0) &&
    (a.validBefore ?? Number.POSITIVE_INFINITY) >= (b.validBefore ?? Number.POSITIVE_INFINITY)
  if (!fits || !covers(a, b)) return false
  const isSame = sameServices(a, b) && a.validAfter === b.validAfter && a.validBefore === b.validBefore && covers(b, a)
  return !isSame || allows.indexOf(wide) < allows.indexOf(narrow)
}

function covers(wide: AuthorizedLine, narrow: AuthorizedLine): boolean {
  return (
    findName([narrow.queues.patterns, wide.queues.patterns], ([own, other]) => own === true && other === false) ===
    undefined
  )
}

function sameServices(a: AuthorizedLine, b: AuthorizedLine): boolean {
  return [...a.services].sort().join() === [...b.services].sort().join()
}
