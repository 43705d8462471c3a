import { buffer } from 'node:stream/consumers'
import { Option } from 'commander'
import { hint } from '../output.ts'
import { fromKcat } from './kcat.ts'
import { type CliMessage, fromMessageJson, wrong } from './message-json.ts'
import { fromRabbitmqadmin } from './rabbitmqadmin.ts'

/** What stdin can hold: a message as in docs/cli.md, or what that tool prints. */
export type MessageForm = 'json' | 'kcat' | 'rabbitmqadmin'

const READERS: Readonly<Record<MessageForm, (value: unknown) => CliMessage>> = {
  json: fromMessageJson,
  kcat: fromKcat,
  rabbitmqadmin: fromRabbitmqadmin,
}

export function fromOption(): Option {
  return new Option('--from <form>', 'what stdin holds: a message as in docs/cli.md, or what that tool prints')
    .choices(Object.keys(READERS))
    .default('json')
}

/** The messages on stdin: one as JSON, a list of them, or one a line. */
export async function readMessages(form: MessageForm): Promise<CliMessage[]> {
  if (process.stdin.isTTY) hint('waiting for a message as JSON on stdin')
  const messages = values(await stdinText()).map(READERS[form])
  if (messages.length === 0) throw wrong('there is none')
  return messages
}

export async function stdinText(): Promise<string> {
  const bytes = await buffer(process.stdin)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw wrong('it is not UTF-8')
  }
}

function values(text: string): unknown[] {
  const whole = parsed(text)
  if (whole !== undefined) return Array.isArray(whole) ? whole : [whole]
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line, index) => {
      const value = parsed(line)
      // What the parser has to say would quote the message.
      if (value === undefined) throw wrong(`line ${index + 1} is not JSON`)
      return value
    })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
