import { Command } from 'commander'
import type { Allow } from '../../authorized-keys/snapshot.ts'
import { placeOf, windowOf } from '../keys/decide.ts'
import { type KeySet, readKeySet } from '../keys/folder.ts'
import { print, printJson, say } from '../output.ts'
import { checkRoles } from '../roles.ts'
import { table } from '../table.ts'
import { formatDuration, formatTime, nowSeconds } from '../times.ts'

interface ListOptions {
  readonly queue?: string
  readonly service?: string
  readonly json?: true
}

export function listCommand(): Command {
  return new Command('list')
    .description('who may publish where, with which key and how long')
    .usage('<dir> [options]')
    .argument('<dir>', 'a key directory, or an authorized_keys file')
    .option('--queue <name>', 'only lines that match this queue')
    .option('--service <name>', 'only lines of this service')
    .option('--json', 'print JSON in place of the table')
    .action(list)
}

async function list(path: string, { queue, service, json }: ListOptions): Promise<void> {
  await checkRoles('list', [{ role: 'dir', value: path }])
  const keySet = await readKeySet(path)
  const allows = keySet.allows.filter(
    ({ line }) =>
      (queue === undefined || line.queues.matches(queue)) && (service === undefined || line.services.includes(service)),
  )
  if (json) printJson(allows.map((allow) => described(keySet, allow)))
  else if (allows.length === 0) say(`no line of ${keySet.paths.authorizedKeys} is meant`)
  else {
    const headings = ['SERVICES', 'QUEUES', 'ALG', 'WINDOW', 'LEFT', 'FINGERPRINT', 'KEY ID']
    const now = nowSeconds()
    print(
      table(
        headings,
        allows.map(({ key, line }) => [
          line.services.join(','),
          line.queues.patterns.join(','),
          line.algorithm,
          windowOf(line, formatTime),
          left(keySet, { key, line }, now),
          key.fingerprint,
          key.keyId,
        ]),
      ),
    )
  }
}

function left({ snapshot }: KeySet, { key, line }: Allow, now: number): string {
  if (snapshot.isRevoked(key)) return 'revoked'
  if (line.validAfter !== undefined && now < line.validAfter) return `in ${formatDuration(line.validAfter - now)}`
  if (line.validBefore === undefined) return '-'
  return now < line.validBefore ? formatDuration(line.validBefore - now) : 'ended'
}

function described({ snapshot }: KeySet, { key, line }: Allow): object {
  const time = (seconds: number | undefined): string | null => (seconds === undefined ? null : formatTime(seconds))
  return {
    line: placeOf(line),
    services: line.services,
    queues: line.queues.patterns,
    alg: line.algorithm,
    validAfter: time(line.validAfter),
    validBefore: time(line.validBefore),
    revoked: snapshot.isRevoked(key),
    fingerprint: key.fingerprint,
    keyId: key.keyId,
  }
}
