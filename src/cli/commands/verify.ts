import { Command } from 'commander'
import { visible } from '../../text.ts'
import type { CheckResult } from '../../verifier.ts'
import { parseDuration, parseTime } from '../arguments.ts'
import { readKeySet } from '../keys/folder.ts'
import { type CliMessage, isDeadLetter } from '../messages/message-json.ts'
import { type ConsumerPolicy, judge } from '../messages/receive.ts'
import { fromOption, type MessageForm, readMessages } from '../messages/stdin.ts'
import { outcomes, STEPS } from '../messages/steps.ts'
import { CommandError, hint, paint, print, printJson } from '../output.ts'
import { REASON_TEXTS } from '../reason-texts.ts'
import { checkRoles } from '../roles.ts'
import { formatTime } from '../times.ts'

interface VerifyOptions {
  readonly queue: string
  readonly maxAge?: string
  readonly destinations?: string
  readonly at?: string
  readonly from: MessageForm
  readonly json?: true
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description('judge a message as a consumer does, check by check')
    .usage('<dir> --queue <name> [options] < message.json')
    .argument('<dir>', 'a key directory, or an authorized_keys file')
    .requiredOption('--queue <name>', 'the queue, topic or stream it was read from')
    .option('--max-age <duration>', 'how long a message may wait: maxAgeSeconds of the consumer (default: 7d)')
    .option('--destinations <patterns>', 'other addresses that are accepted: destinations of the consumer')
    .option('--at <time>', 'judge as of then, and not now')
    .addOption(fromOption())
    .option('--json', 'print JSON in place of text')
    .addHelpText(
      'after',
      `
  rabbitmqadmin --format=raw_json get queue=orders | queue-key-auth verify keys --queue orders --from rabbitmqadmin
  kcat -C -J -e -t orders | queue-key-auth verify keys --queue orders --from kcat

What queue_policy says goes before --max-age and --destinations. Whether the message was handled before, only the
replay store of a running consumer knows. Exits with 1 unless every message is authorized.`,
    )
    .action(verify)
}

async function verify(path: string, options: VerifyOptions): Promise<void> {
  await checkRoles('verify', [
    { role: 'dir', value: path },
    { role: 'queue', value: options.queue, option: '--queue' },
  ])
  const policy = policyOf(options)
  const { snapshot } = await readKeySet(path)
  const messages = await readMessages(options.from)
  const judged = messages.map((message) => ({ message, result: judge(snapshot, message, options.queue, policy) }))
  if (options.json) printJson(judged.map(({ message, result }) => described(message, result)))
  else print(judged.map(({ message, result }) => shown(message, result)).join('\n\n'))
  if (judged.every(({ result }) => passes(result))) return
  if (!options.json) advise(judged)
  throw new CommandError('')
}

function policyOf({ maxAge, destinations, at }: VerifyOptions): ConsumerPolicy {
  return {
    ...(maxAge !== undefined && { maxAgeSeconds: parseDuration(maxAge, '--max-age') }),
    ...(destinations !== undefined && { destinations: destinations.split(',') }),
    ...(at !== undefined && { at: parseTime(at, '--at') }),
  }
}

function passes(result: CheckResult): boolean {
  return !('outcome' in result) || result.outcome === 'unsigned'
}

const MARKS = { ok: 'ok', failed: 'FAIL', 'not looked at': '-' } as const
const COLORS = { ok: 'green', failed: 'red', 'not looked at': 'dim' } as const

function shown(message: CliMessage, result: CheckResult): string {
  const steps = outcomes(result, message.token).map((outcome, index) => {
    const detail = outcome === 'failed' && 'code' in result ? `  ${result.code}: ${visible(result.detail)}` : ''
    const line = `  ${MARKS[outcome].padEnd(4)}  ${String(index + 1).padStart(2)}  ${STEPS[index]?.what}${detail}`
    return paint(COLORS[outcome], line)
  })
  return [...steps, summary(result)].join('\n')
}

function summary(result: CheckResult): string {
  if (!('outcome' in result)) {
    const { service, fingerprint, issuedAt, tokenId } = result.sender
    const time = formatTime(issuedAt.getTime() / 1000)
    return `${paint('green', 'authorized')}: ${service}, key ${fingerprint}, signed ${time}, message id ${visible(tokenId)}`
  }
  if (result.outcome === 'unsigned')
    return `${paint('yellow', 'accepted without a signature')}: acceptUnsignedUntil says so`
  const what = result.outcome === 'deferred' ? 'not to be judged now' : 'not authorized'
  return `${paint('red', what)}: ${result.code}`
}

function described(message: CliMessage, result: CheckResult): object {
  const checks = outcomes(result, message.token).map((outcome, index) => ({ check: STEPS[index]?.what, outcome }))
  if ('outcome' in result) return { ...result, checks }
  const { sender, coveredHeaders } = result
  return { outcome: 'authorized', sender, coveredHeaders, checks }
}

function advise(judged: readonly { readonly message: CliMessage; readonly result: CheckResult }[]): void {
  const codes = new Set(judged.flatMap(({ result }) => ('code' in result ? [result.code] : [])))
  for (const code of codes) hint(`${code}: ${REASON_TEXTS[code][2]}`)
  if (judged.some(({ message }) => isDeadLetter(message))) {
    hint('a message with headers queueauth-* is a dead letter: queue-key-auth explain says what became of it')
  }
}
