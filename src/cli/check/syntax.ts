import { join } from 'node:path'
import { type Generation, isAuthorizedKeysFile, QUEUE_POLICY } from '../../authorized-keys/generation.ts'
import { parseLines } from '../../authorized-keys/lines.ts'
import { parseQueuePolicy } from '../../authorized-keys/queue-policy.ts'
import type { Allow } from '../../authorized-keys/snapshot.ts'
import { SetupError } from '../../errors.ts'
import { asFinding, type Finding } from './finding.ts'

/** Beyond that it is another file altogether. */
const MAX_FAULTS = 50

/**
 * Everything that consumers refuse. They stop at a file's first fault; here a line that is wrong is blanked out, and the
 * file read again, so that one run shows them all.
 *
 * @returns the lines that are right as well, for the other rules
 */
export function checkSyntax(
  { faults, texts, allows }: Generation,
  folder: string,
): { readonly findings: Finding[]; readonly allows: readonly Allow[] } {
  const all = [...faults]
  const good: Allow[] = [...allows]
  for (const [name, text] of texts) {
    const file = join(folder, name)
    const isKeys = isAuthorizedKeysFile(name)
    const first = faults.find(({ position }) => position?.file === file && position.line !== undefined)
    if (first === undefined || (!isKeys && name !== QUEUE_POLICY)) continue
    const parse = isKeys
      ? (rest: string) => void good.push(...parseLines(rest, file))
      : (rest: string) => void parseQueuePolicy(rest, file)
    all.push(...furtherFaults(text, first, parse))
  }
  return { findings: all.map(asFinding), allows: good }
}

function furtherFaults(text: string, first: SetupError, parse: (text: string) => void): SetupError[] {
  const lines = text.split('\n')
  const found: SetupError[] = []
  let fault: SetupError | undefined = first
  while (fault?.position?.line !== undefined && found.length < MAX_FAULTS) {
    blank(lines, fault.position.line - 1)
    try {
      parse(lines.join('\n'))
      fault = undefined
    } catch (error) {
      if (!(error instanceof SetupError)) throw error
      fault = error
      found.push(error)
    }
  }
  return found
}

/** Of a PEM block every line is wrong; that it stands there is one fault. */
function blank(lines: string[], index: number): void {
  const isBlock = lines[index]?.includes('-----BEGIN ') ?? false
  const end = isBlock ? lines.findIndex((line, at) => at >= index && line.includes('-----END ')) : index
  lines.fill('', index, (end < 0 ? lines.length - 1 : end) + 1)
}
