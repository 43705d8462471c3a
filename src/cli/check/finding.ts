import type { SetupError, SetupErrorCode, SourcePosition } from '../../errors.ts'
import { visible } from '../../text.ts'

/** What a rule found. */
export interface Finding {
  /** error: consumers refuse it, or it is as good as open; warning: it works, and somebody should look at it */
  readonly severity: 'error' | 'warning'
  /** the rule's name, for scripts */
  readonly rule: Rule
  /** `keys/authorized_keys:3:10`, as far as it is known */
  readonly place: string
  readonly text: string
}

/** In the order of docs/cli.md. */
export const RULES = [
  'syntax',
  'private-key',
  'writable-by-others',
  'foreign-owner',
  'backup-alone',
  'revoked-line',
  'window-over',
  'window-ends-soon',
  'shared-line',
  'shared-key',
  'short-rsa-key',
  'every-queue',
  'pattern-vetoed',
  'pattern-redundant',
  'veto-idle',
  'pattern-odd',
  'line-redundant',
] as const

export type Rule = (typeof RULES)[number]

export function placeText({ file, line, column }: SourcePosition): string {
  return visible([file, line, column].filter((part) => part !== undefined).join(':'))
}

const RULE_OF: Partial<Record<SetupErrorCode, Rule>> = {
  'key-private-in-public-place': 'private-key',
  'key-file-permissions': 'writable-by-others',
}

/** What consumers refuse. */
export function asFinding({ code, message, position }: SetupError): Finding {
  const place = placeText(position ?? {})
  // The place begins the message, too.
  const text = message.startsWith(`${place}: `) ? message.slice(place.length + 2) : message
  return { severity: 'error', rule: RULE_OF[code] ?? 'syntax', place, text }
}
