import { randomUUID } from 'node:crypto'
import { styleText } from 'node:util'
import { SetupError } from '../errors.ts'
import { printable, visible } from '../text.ts'

/** stdout is data, for pipes; stderr is for people. Nothing here ever gets to see a private key. */

export const NAME = 'queue-key-auth'

/** The exit codes of every command. */
export const EXIT = {
  ok: 0,
  /** it failed, or the answer is no */
  failed: 1,
  /** the command line is wrong */
  usage: 2,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Ends a command: one line that says what is wrong, and one that says what to do. An empty one only sets the exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly hint: string | undefined
  readonly exitCode: ExitCode

  constructor(message: string, options: { hint?: string; exitCode?: ExitCode; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.hint = options.hint
    this.exitCode = options.exitCode ?? EXIT.failed
  }
}

/** Whatever a terminal would act on is escaped here, wherever it came from; line ends and our own colours stay. */
export function print(text: string): void {
  const lines = text.split('\n').map((line) => visible(line))
  process.stdout.write(`${colored(lines.join('\n'))}\n`)
}

/** Text of our own, with its colours in it. */
export function printAsIs(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(jsonText(value, 2))
}

/** JSON that means the same value, and in which nothing acts on a terminal: JSON itself escapes only ASCII controls. */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent)
  return text.replace(/(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      const code = character.charCodeAt(index).toString(16).padStart(4, '0')
      return `\\u${code}`
    }).join(''),
  )
}

export function say(text: string): void {
  process.stderr.write(`${NAME}: ${printable(text.replaceAll('…', '...'))}\n`)
}

export function hint(text: string): void {
  say(`hint: ${text}`)
}

type Style = Parameters<typeof styleText>[0] & string

/** Stands around what is to be coloured until everything else was escaped; no text from outside can hold it. */
const MARK = randomUUID()

/** Colours for a terminal that has them, unless NO_COLOR is set; plain text for everything else. */
export function paint(style: Style, text: string): string {
  // hasColors() knows of NO_COLOR.
  const isColored = process.stdout.isTTY && process.stdout.hasColors()
  return isColored ? `${MARK}${style}<${text}${MARK}>` : text
}

function colored(text: string): string {
  const painted = new RegExp(`${MARK}(\\w+)<([^]*?)${MARK}>`, 'g')
  return text.replace(painted, (_, style: Style, inner: string) => styleText(style, inner, { validateStream: false }))
}

/** Says what ended a command. An error that is nobody's fault but ours is thrown on, with its stack. */
export function complain(error: unknown): ExitCode {
  if (error instanceof CommandError) {
    // The answer no was printed already.
    if (error.message !== '') say(error.message)
    if (error.hint !== undefined) hint(error.hint)
    return error.exitCode
  }
  if (error instanceof SetupError) {
    say(error.message)
    return error.code === 'option-invalid' || error.code === 'service-invalid' ? EXIT.usage : EXIT.failed
  }
  throw error
}

/** A reader that has seen enough (`| head`) is no error; what is under way is finished all the same. */
export function tolerateClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
  }
}
