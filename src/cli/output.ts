import { styleText } from 'node:util'
import { SetupError } from '../errors.ts'
import { printable } from '../text.ts'

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

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2))
}

export function say(text: string): void {
  process.stderr.write(`${NAME}: ${printable(text.replaceAll('…', '...'))}\n`)
}

export function hint(text: string): void {
  say(`hint: ${text}`)
}

/** Colours for a terminal that has them, unless NO_COLOR is set; plain text for everything else. */
export function paint(style: Parameters<typeof styleText>[0], text: string): string {
  // hasColors() knows of NO_COLOR.
  const colored = process.stdout.isTTY && process.stdout.hasColors()
  return colored ? styleText(style, text, { validateStream: false }) : text
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
