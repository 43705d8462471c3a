import type { SetupError, SourcePosition } from '../errors.ts'
import { type Algorithm, algorithmsFor, defaultAlgorithm, type KeyType } from '../keys/algorithms.ts'
import { QueuePatterns } from './patterns.ts'
import { at, type Field, shown, syntaxError } from './syntax.ts'
import { parseTimestamp } from './timestamps.ts'

/** The options of a line; which algorithm they mean depends on the key. */
export interface LineOptions {
  readonly queues: QueuePatterns
  readonly validAfter: number | undefined
  readonly validBefore: number | undefined
  /** @throws SetupError when `alg` names one that no key of this type can use */
  algorithmFor(type: KeyType): Algorithm
}

const NAMES = ['queues', 'valid-after', 'valid-before', 'alg'] as const
type OptionName = (typeof NAMES)[number]

interface OptionValue {
  readonly text: string
  readonly position: SourcePosition
}

/** @throws SetupError `authorized-keys-invalid` */
export function parseOptions(field: Field, position: SourcePosition): LineOptions {
  const values = splitOptions(field, position)
  const queues = values.get('queues')
  if (queues === undefined) {
    throw syntaxError(
      'no queues option: write queues="…" with the queues this key is good for',
      at(position, field.start),
    )
  }
  const validAfter = timestamp('valid-after', values.get('valid-after'))
  const validBefore = timestamp('valid-before', values.get('valid-before'))
  if (validAfter !== undefined && validBefore !== undefined && validAfter >= validBefore) {
    throw syntaxError(
      'valid-after is not before valid-before: no message could ever fit',
      values.get('valid-after')?.position,
    )
  }
  const alg = values.get('alg')
  return {
    queues: QueuePatterns.parse(queues.text, queues.position),
    validAfter,
    validBefore,
    algorithmFor: (type) => algorithm(alg, type),
  }
}

function splitOptions(field: Field, position: SourcePosition): Map<OptionName, OptionValue> {
  const values = new Map<OptionName, OptionValue>()
  const option = /([^=,"]*)(?:="([^"]*)")?/y
  for (let index = 0; ; index++) {
    option.lastIndex = index
    const [whole = '', name = '', text] = option.exec(field.text) ?? []
    const start = field.start + index
    if (!isOptionName(name)) throw unknownOption(name, at(position, start))
    if (text === undefined) {
      const advice = field.text.startsWith('="', index + name.length)
        ? 'its closing quote is missing'
        : 'its value needs quotes'
      throw syntaxError(`the option ${name}: ${advice}; write ${name}="…"`, at(position, start))
    }
    if (values.has(name)) throw syntaxError(`a second ${name} option: write one, or another line`, at(position, start))
    values.set(name, { text, position: at(position, start + name.length + 2) })
    index += whole.length
    if (index === field.text.length) return values
    if (field.text.charAt(index) !== ',') {
      throw syntaxError(
        'after the closing quote comes a comma and the next option, or a space',
        at(position, field.start + index),
      )
    }
  }
}

function isOptionName(name: string): name is OptionName {
  return (NAMES as readonly string[]).includes(name)
}

function unknownOption(name: string, position: SourcePosition): SetupError {
  if (name === '')
    return syntaxError('an option is missing here: write name="value",name="value" without spaces', position)
  const meant = NAMES.find((known) => known === name.toLowerCase().replaceAll('_', '-'))
  if (meant !== undefined) return syntaxError(`an unknown option: write ${meant}`, position)
  return syntaxError(`an unknown option, ${shown(name)}: there are ${NAMES.join(', ')}`, position)
}

function timestamp(name: OptionName, value: OptionValue | undefined): number | undefined {
  if (value === undefined) return undefined
  const seconds = parseTimestamp(value.text)
  if (seconds !== undefined) return seconds
  const forms = `${name}="2026-12-01T00:00Z", or ${name}="2026-12-01" for midnight UTC`
  throw syntaxError(`${shown(value.text)} is no time in UTC that a calendar has: write it as ${forms}`, value.position)
}

function algorithm(value: OptionValue | undefined, type: KeyType): Algorithm {
  if (value === undefined) return defaultAlgorithm(type)
  const possible = algorithmsFor(type)
  const found = possible.find((name) => name === value.text)
  if (found !== undefined) return found
  const advice = possible.map((name) => `alg="${name}"`).join(' or ')
  throw syntaxError(
    `${shown(value.text)} is no algorithm of this key: write ${advice}, or leave alg out`,
    value.position,
  )
}
