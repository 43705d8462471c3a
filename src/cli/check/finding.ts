import type { SourcePosition } from '../../errors.ts'

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
  return [file, line, column].filter((part) => part !== undefined).join(':')
}
