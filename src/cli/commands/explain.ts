import { Command } from 'commander'
import { printable, quote } from '../../text.ts'
import { isFault, parseToken, type SignedClaims } from '../../token.ts'
import type { CheckResult } from '../../verifier.ts'
import { placeOf } from '../keys/decide.ts'
import { type KeySet, readKeySet } from '../keys/folder.ts'
import { type Explanation, explanationOf, isPart, originalOf } from '../messages/dead-letter.ts'
import type { CliMessage } from '../messages/message-json.ts'
import { unpacked } from '../messages/packed.ts'
import { judge } from '../messages/receive.ts'
import { remedyOf } from '../messages/remedies.ts'
import { fromOption, type MessageForm, readMessages } from '../messages/stdin.ts'
import { paint, print, printJson } from '../output.ts'
import { REASON_TEXTS } from '../reason-texts.ts'
import { checkRoles } from '../roles.ts'
import { formatTimeFrom, nowSeconds } from '../times.ts'

export function explainCommand(): Command {
  return new Command('explain')
    .description('what happened to a dead letter, and what would change it')
    .usage('[--keys <dir>] [--from <form>] [--json] < letter.json')
    .option('--keys <dir>', 'the key directory: also checks it again, and names the lines')
    .addOption(fromOption())
    .option('--json', 'print JSON in place of text')
    .addHelpText(
      'after',
      `
  rabbitmqadmin --format=raw_json get queue=orders.dlq | queue-key-auth explain --keys keys --from rabbitmqadmin

The reason is in headers that nobody signs: trust it as far as you trust whoever can write to the dead letters.`,
    )
    .action(explain)
}

/** A letter, and what can be said of it. */
interface Explained {
  readonly said: Explanation
  readonly token: SignedClaims | undefined
  readonly lines: readonly string[]
  readonly again: CheckResult | undefined
  readonly remedy: string
}

async function explain(options: { keys?: string; from: MessageForm; json?: true }): Promise<void> {
  if (options.keys !== undefined) await checkRoles('explain', [{ role: 'dir', value: options.keys, option: '--keys' }])
  const keySet = options.keys === undefined ? undefined : await readKeySet(options.keys)
  const explained = (await readMessages(options.from)).map((letter) => explanation(unpacked(letter), keySet))
  if (options.json) printJson(explained.map(described))
  else print(explained.map(shown).join('\n\n'))
}

function explanation(letter: CliMessage, keySet: KeySet | undefined): Explained {
  const said = explanationOf(letter)
  const parsed = parseToken(letter.token)
  const token = isFault(parsed) ? undefined : parsed.signed
  const queue = said.queue ?? letter.queue
  const again =
    keySet === undefined || queue === undefined || isPart(letter)
      ? undefined
      : judge(keySet.snapshot, originalOf(letter), queue, {})
  const lines = (token && keySet?.snapshot.keys.get(token.kid)?.lines.map(placeOf)) ?? []
  const code = again !== undefined && 'code' in again ? again.code : said.reason
  const isGood = again !== undefined && !('code' in again)
  const remedy = isGood
    ? 'Nothing needs to: without its headers queueauth-* it can be sent again, to the address it was sent to.'
    : remedyOf(code, {
        queue: queue ?? '<queue>',
        service: isProved(said, again) ? token?.claims.iss : undefined,
        keyId: token?.kid,
        destination: token?.claims.aud,
        alg: token?.alg,
        lines,
      })
  return { said, token, lines, again, remedy }
}

/** Whether a key that is known has signed the token: before that the names in it are whatever somebody wrote. */
function isProved({ fingerprint }: Explanation, again: CheckResult | undefined): boolean {
  if (again === undefined) return fingerprint !== undefined
  return !('outcome' in again) || 'fingerprint' in again
}

function shown({ said, token, lines, again, remedy }: Explained): string {
  const [what, who, advice] = REASON_TEXTS[said.reason]
  const place = said.queue === undefined ? '' : ` from queue ${said.queue}`
  const when = said.at === undefined ? '' : ` at ${said.at}`
  const rows = [
    [`Refused${place}${when}`, `${said.reason}${said.detail === undefined ? '' : `: ${said.detail}`}`],
    ['What that means', what],
    ['Who can cause it', who],
    ['Who sent it', sender(said, token)],
    ...(again === undefined ? [] : [['Checked again', verdict(again, lines)]]),
    ['What would change it', remedy],
    ['What to do', advice],
  ]
  // Everything here came from outside.
  return rows
    .map(([title = '', text = '']) => `${paint('bold', printable(title))}\n  ${printable(text.replaceAll('…', '...'))}`)
    .join('\n')
}

function sender({ fingerprint, service }: Explanation, token: SignedClaims | undefined): string {
  if (token === undefined) return 'Nobody can tell: it has no token that can be read.'
  const { claims, kid } = token
  const rest = `with key ${kid}, at ${formatTimeFrom(claims.iat, nowSeconds())}, for ${claims.aud}.`
  if (fingerprint === undefined) {
    return `Not proved, because the check failed before its signature was: the token claims ${quote(claims.iss)}, ${rest}`
  }
  const claim = `The token claims: ${claims.iss}, ${rest}`
  const owner = service === undefined ? ', which belongs to another service' : ` of ${service.slice(0, 128)}`
  return `${claim} The dead letter says that its signature was valid: key ${fingerprint.slice(0, 50)}${owner}.`
}

function verdict(result: CheckResult, lines: readonly string[]): string {
  const line = lines.length === 0 ? '' : ` Its key stands at ${lines.join(' and ')}.`
  if (!('outcome' in result)) return `It would be authorized now, as a message of ${result.sender.service}.${line}`
  if (result.outcome === 'unsigned') return 'It would pass now without a signature: the policy says so.'
  return `Still ${result.code}: ${result.detail}.${line}`
}

function described({ said, token, lines, again, remedy }: Explained): object {
  const [what, who, advice] = REASON_TEXTS[said.reason]
  const claimed = token && {
    service: token.claims.iss,
    keyId: token.kid,
    destination: token.claims.aud,
    issuedAt: token.claims.iat,
  }
  return {
    ...said,
    what,
    who,
    advice,
    claimed: claimed ?? null,
    lines,
    remedy,
    ...(again !== undefined && { again: 'outcome' in again ? again : { outcome: 'authorized', sender: again.sender } }),
  }
}
