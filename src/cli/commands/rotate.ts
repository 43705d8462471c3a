import { Command } from 'commander'
import { DEFAULT_MAX_AGE_SECONDS } from '../../policy.ts'
import { checkService, parseDuration, parseTime } from '../arguments.ts'
import { type KeySet, readKeySet } from '../keys/folder.ts'
import { readKeyArgument } from '../keys/key-argument.ts'
import { CommandError, EXIT, hint, paint, print, printJson, say } from '../output.ts'
import { checkRoles } from '../roles.ts'
import { add, remove, retire } from '../rotation/apply.ts'
import { type Due, type Plan, planRotation } from '../rotation/plan.ts'
import { formatTime, formatTimeFrom, nowSeconds } from '../times.ts'

interface RotateOptions {
  readonly do?: true
  readonly new?: string
  readonly switched?: true
  readonly old?: string
  readonly validBefore?: string
  readonly maxAge?: string
  readonly json?: true
}

/** A producer that switches a little late is not shut out. */
const GRACE_SECONDS = 3600

export function rotateCommand(): Command {
  return new Command('rotate')
    .description("the plan for a service's new key, and the step that is due")
    .usage('<dir> <service> [--do] [options]')
    .argument('<dir>', 'a key directory, or an authorized_keys file')
    .argument('<service>', 'the service that gets a new key')
    .option('--do', 'take the step that is due')
    .option('--new <key file>', 'for the first step: the new public key')
    .option('--switched', 'for the fourth: the producer signs with the new key')
    .option('--valid-before <time>', 'for the fourth: when the old key ends (default: in an hour)')
    .option('--old <fingerprint>', 'the key to retire, if it is not the one that stands first')
    .option('--max-age <duration>', 'how long messages may wait (default: 7d, or more where queue_policy says so)')
    .option('--json', 'print JSON in place of text')
    .addHelpText(
      'after',
      `
  queue-key-auth rotate keys checkout --do --new checkout-2027.pub
  queue-key-auth rotate keys checkout --do --switched
  queue-key-auth rotate keys checkout --do

Where a rotation stands is read from the lines themselves. At no moment is there no key that both sides have.
For a stolen key there is no time for this: queue-key-auth revoke.`,
    )
    .action(rotate)
}

async function rotate(path: string, service: string, options: RotateOptions): Promise<void> {
  await checkRoles('rotate', [
    { role: 'dir', value: path },
    { role: 'service', value: service },
  ])
  checkService(service)
  const now = nowSeconds()
  const keySet = await readKeySet(path)
  const maxAgeSeconds = options.maxAge === undefined ? longestAge(keySet) : parseDuration(options.maxAge, '--max-age')
  const plan = planRotation(keySet.allows, keySet.snapshot.isRevoked, { service, maxAgeSeconds, now, old: options.old })
  const written = options.do ? await step(plan.due, options, now) : []
  if (options.json) printJson({ service, maxAgeSeconds, due: plan.due.what, written, steps: plan.steps })
  else if (!options.do) print(shown(service, plan))
  else for (const text of written) print(text)
  if (!options.do) hint(nextCommand(path, service, plan.due, now))
}

function longestAge({ policies }: KeySet): number {
  return Math.max(DEFAULT_MAX_AGE_SECONDS, ...policies.map(({ overrides }) => overrides.maxAgeSeconds ?? 0))
}

/** @returns the lines that were written, or where lines were changed */
async function step(due: Due, options: RotateOptions, now: number): Promise<string[]> {
  if (due.what === 'wait') {
    say(`nothing is due until ${formatTimeFrom(due.until, now)}`)
    return []
  }
  if (due.what === 'delete') {
    const places = await remove(due.lines)
    say(`deleted ${places.join(', ')}; the rotation is over`)
    return places
  }
  if (due.what === 'add') {
    if (options.new === undefined) {
      throw new CommandError('the first step is the line of a new key', {
        hint: `make one with queue-key-auth keygen ${due.like[0]?.line.services[0] ?? '<service>'} --out <dir> --queues "…" > new.line, and write --new new.line`,
        exitCode: EXIT.usage,
      })
    }
    const key = await readKeyArgument(options.new)
    if (due.like.some((allow) => allow.key.keyId === key.keyId)) {
      throw new CommandError(`${options.new} is the key that is there already`, { hint: 'make a new one' })
    }
    const lines = await add(due.like, key)
    say(`added ${lines.length === 1 ? 'a line' : `${lines.length} lines`} with key ${key.fingerprint}`)
    hint("when every consumer has read it, switch the producer's key file; then rotate with --do --switched")
    return lines
  }
  if (options.switched !== true) {
    throw new CommandError('does the producer sign with the new key? what it signs with the old one would be refused', {
      hint: 'switch its key file, and then add --switched',
      exitCode: EXIT.usage,
    })
  }
  const inAnHour = Math.ceil((now + GRACE_SECONDS) / 60) * 60
  const end = options.validBefore === undefined ? inAnHour : parseTime(options.validBefore, '--valid-before')
  const places = await retire(due.lines, end)
  say(`${places.join(', ')} is valid until ${formatTime(end)}: what the old key signs later is refused`)
  return places
}

const COLORS = { done: 'dim', due: 'green', later: 'reset' } as const

function shown(service: string, { steps }: Plan): string {
  const lines = steps.map(({ state, text }, index) =>
    paint(COLORS[state], `  ${state.padEnd(5)}  ${index + 1}  ${text}`),
  )
  return [`A new key for ${service}`, ...lines].join('\n')
}

function nextCommand(path: string, service: string, due: Due, now: number): string {
  const command = `queue-key-auth rotate ${path} ${service} --do`
  if (due.what === 'add') return `${command} --new <public key file>`
  if (due.what === 'retire') return `${command} --switched, once the producer signs with the new key`
  return due.what === 'delete' ? command : `nothing is due until ${formatTimeFrom(due.until, now)}`
}
