import type { Argument } from './client.ts'

/**
 * The grammar of XADD, read as the server reads it:
 *
 *     XADD key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IDMP producer id] [MAXLEN | MINID [= | ~] threshold [LIMIT count]]
 *          <* | id> field value [field value …]
 */

export type ParsedXadd =
  | {
      readonly key: Argument
      /** the index of the first field's name among the arguments */
      readonly fields: number
    }
  /** the server turns it down, with an error of its own */
  | 'incomplete'
  /** the hash of the content decides whether it is a repetition, and a signature is never the same twice */
  | 'idmpauto'
  /** a word that is neither an option we know nor an entry id */
  | 'unknown'

const ENTRY_ID = /^(?:\*|\d+(?:-(?:\d+|\*))?)$/

/** Options without a value. */
const FLAGS: ReadonlySet<string> = new Set(['NOMKSTREAM', 'KEEPREF', 'DELREF', 'ACKED'])

/** @param args the arguments after the name of the command */
export function parseXadd(args: readonly Argument[]): ParsedXadd {
  const [key] = args
  if (key === undefined || args.length < 4) return 'incomplete'
  let index = 1
  for (;;) {
    const word = textAt(args, index)
    if (word === undefined) return 'incomplete'
    if (ENTRY_ID.test(word)) break
    const taken = optionLength(args, index)
    if (typeof taken === 'string') return taken
    index += taken
  }
  const fields = index + 1
  const count = args.length - fields
  return count < 2 || count % 2 === 1 ? 'incomplete' : { key, fields }
}

/** How many arguments an option takes up, its name included. */
function optionLength(args: readonly Argument[], index: number): number | 'idmpauto' | 'unknown' {
  const option = textAt(args, index)?.toUpperCase() ?? ''
  if (FLAGS.has(option)) return 1
  switch (option) {
    case 'MAXLEN':
    case 'MINID': {
      const sign = textAt(args, index + 1)
      return sign === '=' || sign === '~' ? 3 : 2
    }
    case 'LIMIT':
      return 2
    case 'IDMP':
      return 3
    case 'IDMPAUTO':
      return 'idmpauto'
    default:
      return 'unknown'
  }
}

function textAt(args: readonly Argument[], index: number): string | undefined {
  const argument = args[index]
  return typeof argument === 'string' ? argument : argument?.toString('latin1')
}
