import { parseLines } from '../../authorized-keys/lines.ts'
import type { Allow } from '../../authorized-keys/snapshot.ts'
import { algorithmsFor } from '../../keys/algorithms.ts'
import type { PublicKey } from '../../keys/public-key.ts'
import { changeFile } from '../keys/change-file.ts'
import { placeOf } from '../keys/decide.ts'
import { changeLine, keyLine, withValidBefore } from '../keys/line-text.ts'
import { CommandError } from '../output.ts'

/** The steps of a rotation that change files. Each returns what it wrote, for people. */

export async function retire(lines: readonly Allow[], validBefore: number): Promise<string[]> {
  const open = lines.filter(({ line }) => line.validBefore === undefined || line.validBefore > validBefore)
  return changeLines(open, (text) => withValidBefore(text, validBefore), lines[0]?.key, validBefore)
}

export async function remove(lines: readonly Allow[]): Promise<string[]> {
  return changeLines(lines, () => undefined)
}

/** Adds a line of the new key for each of the old one, behind them in their file, without their windows. */
export async function add(like: readonly Allow[], key: PublicKey): Promise<string[]> {
  const written: string[] = []
  for (const [file, group] of byFile(like)) {
    const texts = group.map(({ line }) => {
      const possible = algorithmsFor(key.type)
      const algorithm = possible.includes(line.algorithm) ? line.algorithm : (key.algorithm ?? possible[0])
      if (algorithm === undefined) throw new Error('a key without an algorithm')
      const parts = { services: line.services, queues: line.queues.patterns, algorithm }
      return keyLine(key, { ...parts, validAfter: undefined, validBefore: undefined })
    })
    const lines = [...new Set(texts)]
    await changeFile(file, (text = '') => {
      const after = `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${lines.join('\n')}\n`
      parseLines(after, file)
      return after
    })
    written.push(...lines)
  }
  return written
}

/** Changes or deletes lines, after a look that each still is what was read, and before one that the rest stayed. */
async function changeLines(
  lines: readonly Allow[],
  change: (text: string) => string | undefined,
  key?: PublicKey,
  validBefore?: number,
): Promise<string[]> {
  const shared = lines.find(({ line }) => line.services.length > 1)
  if (shared !== undefined) {
    throw new CommandError(
      `${placeOf(shared.line)} is the line of ${shared.line.services.join(' and ')}, not of one service`,
      {
        hint: 'give each service a line and a key of its own first',
      },
    )
  }
  for (const [file, group] of byFile(lines)) {
    await changeFile(file, (text = '') => {
      const before = parseLines(text, file)
      for (const { key: each, line } of group) {
        const same = before.find((now) => now.line.position.line === line.position.line && now.key.keyId === each.keyId)
        if (same === undefined) throw new CommandError(`${file} was changed meanwhile; see the plan again`)
      }
      const numbers = group.map(({ line }) => line.position.line ?? 0).sort((a, b) => b - a)
      const after = numbers.reduce((rest, number) => changeLine(rest, number, change), text)
      const left = parseLines(after, file)
      const changed = left.filter(
        ({ key: each, line }) => each.keyId === key?.keyId && line.validBefore === validBefore,
      )
      const isAsMeant =
        key === undefined ? left.length === before.length - group.length : changed.length >= group.length
      if (!isAsMeant) throw new Error('the lines that were changed do not say what they should')
      return after
    })
  }
  return lines.map(({ line }) => placeOf(line))
}

function byFile(lines: readonly Allow[]): Map<string, Allow[]> {
  const groups = new Map<string, Allow[]>()
  for (const allow of lines) {
    const file = allow.line.position.file ?? ''
    groups.set(file, [...(groups.get(file) ?? []), allow])
  }
  return groups
}
