import { Command } from 'commander'
import type { AuthorizedKey } from '../../authorized-keys/snapshot.ts'
import { quote, visible } from '../../text.ts'
import { checkService, parseTime } from '../arguments.ts'
import { type Decision, decide, placeOf, windowOf } from '../keys/decide.ts'
import { readKeySet } from '../keys/folder.ts'
import { CommandError, hint, paint, print, printJson } from '../output.ts'
import { checkRoles } from '../roles.ts'
import { formatTime, nowSeconds } from '../times.ts'

export function canCommand(): Command {
  return new Command('can')
    .description('whether a service may publish to a queue, and which line decides')
    .usage('<dir> <service> <queue> [options]')
    .argument('<dir>', 'a key directory, or an authorized_keys file')
    .argument('<service>', 'the name that the service signs as')
    .argument('<queue>', 'the queue, topic or stream')
    .option('--at <time>', 'then, and not now')
    .option('--json', 'print JSON in place of text')
    .addHelpText('after', '\nExits with 0 for yes and 1 for no.')
    .action(can)
}

async function can(path: string, service: string, queue: string, options: { at?: string; json?: true }): Promise<void> {
  await checkRoles('can', [
    { role: 'dir', value: path },
    { role: 'service', value: service },
    { role: 'queue', value: queue },
  ])
  checkService(service)
  const at = options.at === undefined ? nowSeconds() : parseTime(options.at, '--at')
  const { snapshot, paths } = await readKeySet(path)
  const decision = decide(snapshot, service, queue, at)
  // A line of another service decides nothing.
  const relevant = decision?.code === 'service-mismatch' ? undefined : decision
  const allowed = relevant !== undefined && relevant.code === undefined
  if (options.json) printJson({ service, queue, at: formatTime(at), allowed, ...(relevant && described(relevant)) })
  else if (relevant === undefined)
    print(`${paint('red', 'no')}   ${visible(paths.authorizedKeys)} has no line for ${service}`)
  else if (allowed) print(`${paint('green', 'yes')}  ${shown(relevant)}`)
  else print(`${paint('red', 'no')}   ${relevant.code}: ${visible(relevant.detail)}\n     ${shown(relevant)}`)
  // The other order is the likeliest mistake, and answers no as well.
  const isSwapped = relevant === undefined && [...snapshot.keys.values()].some(hasLineOf(queue))
  if (isSwapped) hint(`${quote(queue)} is a service here: the order is queue-key-auth can <dir> <service> <queue>`)
  if (!allowed) throw new CommandError('')
}

function hasLineOf(service: string): (key: AuthorizedKey) => boolean {
  return ({ lines }) => lines.some(({ services }) => services.includes(service))
}

function shown({ line, key }: Decision): string {
  const window = windowOf(line, formatTime)
  return `${placeOf(line)}  ${line.services}  queues="${line.queues.patterns}"  ${window}  ${key.fingerprint}`
}

function described({ key, line, code, detail }: Decision): object {
  return {
    ...(code !== undefined && { code, detail }),
    line: placeOf(line),
    services: line.services,
    queues: line.queues.patterns,
    fingerprint: key.fingerprint,
  }
}
