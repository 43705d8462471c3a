import type { AuthorizedLine } from '../../authorized-keys/snapshot.ts'
import { splitFields } from '../../authorized-keys/syntax.ts'
import { type Algorithm, algorithmsFor, defaultAlgorithm } from '../../keys/algorithms.ts'
import { openSshPublicKey, type PublicKey } from '../../keys/public-key.ts'
import { CommandError, EXIT } from '../output.ts'
import { formatTime } from '../times.ts'

/** What a line says besides its key. */
export interface LineParts extends Omit<AuthorizedLine, 'queues' | 'position'> {
  readonly queues: readonly string[]
}

/** The algorithm of a line for this key: what `--alg` says, else what its JWK does, else that of its type. */
export function algorithmOf(key: PublicKey, wanted: Algorithm | undefined): Algorithm {
  const algorithm = wanted ?? key.algorithm ?? defaultAlgorithm(key.type)
  const possible = algorithmsFor(key.type)
  if (possible.includes(algorithm)) return algorithm
  throw new CommandError(`--alg: this key cannot sign ${algorithm}`, {
    hint: `write --alg ${possible.join(' or --alg ')}, or leave --alg out`,
    exitCode: EXIT.usage,
  })
}

/** A line of an authorized_keys file, without its end. */
export function keyLine(key: PublicKey, parts: LineParts, comment?: string): string {
  const { services, queues, validAfter, validBefore, algorithm } = parts
  const options = [
    ['queues', queues.join(',')],
    ['valid-after', validAfter === undefined ? undefined : formatTime(validAfter)],
    ['valid-before', validBefore === undefined ? undefined : formatTime(validBefore)],
    ['alg', algorithm === defaultAlgorithm(key.type) ? undefined : algorithm],
  ].filter(([, value]) => value !== undefined)
  const words = [
    services.join(','),
    options.map(([name, value]) => `${name}="${value}"`).join(','),
    openSshPublicKey(key),
  ]
  return comment === undefined || comment === '' ? words.join(' ') : [...words, comment].join(' ')
}

/** Whether a line says exactly this. */
export function sameLine(line: AuthorizedLine, parts: LineParts): boolean {
  const sorted = (texts: readonly string[]): string => [...texts].sort().join()
  return (
    sorted(line.services) === sorted(parts.services) &&
    sorted(line.queues.patterns) === sorted(parts.queues) &&
    line.algorithm === parts.algorithm &&
    line.validAfter === parts.validAfter &&
    line.validBefore === parts.validBefore
  )
}

/**
 * A text with one line changed, or taken out when `change` gives undefined. Everything else, line ends too, stays as it is.
 *
 * @param number from 1
 */
export function changeLine(text: string, number: number, change: (line: string) => string | undefined): string {
  const lines = text.split('\n')
  const line = lines[number - 1] ?? ''
  const changed = change(line)
  lines.splice(number - 1, 1, ...(changed === undefined ? [] : [changed]))
  return lines.join('\n')
}

/** A line's text with `valid-before` added to its options, or changed. */
export function withValidBefore(line: string, seconds: number): string {
  const [, options] = splitFields(line, 2)
  if (options === undefined) return line
  const option = `valid-before="${formatTime(seconds)}"`
  const others = options.text.replace(/(^|,)valid-before="[^"]*"/, '').replace(/^,/, '')
  return `${line.slice(0, options.start)}${others},${option}${line.slice(options.start + options.text.length)}`
}
