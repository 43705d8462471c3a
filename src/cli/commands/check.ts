import { join } from 'node:path'
import { Command } from 'commander'
import { parseDuration } from '../arguments.ts'
import { checkBackups } from '../check/backups.ts'
import { type AccessChange, compareAccess } from '../check/compare.ts'
import { COPIES_HINT, lineOfSeveralQueues } from '../check/copies.ts'
import { type Finding, placeText } from '../check/finding.ts'
import { checkLines } from '../check/lines.ts'
import { checkPatterns } from '../check/patterns.ts'
import { checkModes, checkOwners } from '../check/permissions.ts'
import { comparePolicies } from '../check/policies.ts'
import { checkSyntax } from '../check/syntax.ts'
import { type KeySet, keyPaths, readKeySet, readKeys } from '../keys/folder.ts'
import { CommandError, hint, paint, print, printJson, say } from '../output.ts'
import { checkRoles } from '../roles.ts'
import { table } from '../table.ts'
import { nowSeconds } from '../times.ts'

interface CheckOptions {
  readonly against?: string
  readonly soon: string
  readonly strict?: true
  readonly strictModes: boolean
  readonly json?: true
}

export function checkCommand(): Command {
  return new Command('check')
    .description('everything that is wrong or risky in a key directory')
    .usage('<dir> [options]')
    .argument('<dir>', 'a key directory, or an authorized_keys file')
    .option('--against <old dir>', 'also what changed since: whom it lets in, whom it shuts out')
    .option('--soon <duration>', 'how long before its end a window is worth a warning', '30d')
    .option('--strict', 'fail for warnings as well, and when anybody is let in')
    .option('--no-strict-modes', 'say nothing of files and directories that others can write to, as in a checkout')
    .option('--json', 'print JSON in place of text')
    .addHelpText(
      'after',
      `
In a pull request, with the main branch checked out beside it:
  queue-key-auth check keys --against ../main/keys

Exits with 1 for errors, which consumers would refuse, or which leave the directory open to others.`,
    )
    .action(check)
}

async function check(path: string, { against, soon, strict, strictModes, json }: CheckOptions): Promise<void> {
  await checkRoles('check', [{ role: 'dir', value: path }])
  const noticeSeconds = parseDuration(soon, '--soon')
  const paths = await keyPaths(path)
  const generation = await readKeys(paths, strictModes)
  const syntax = checkSyntax(generation, paths.folder)
  const files = [...generation.texts.keys()].map((name) => join(paths.folder, name))
  const findings = [
    ...syntax.findings,
    ...(paths.isFile && strictModes ? await checkModes(paths.folder, files) : []),
    ...(await checkOwners([paths.folder, ...files])),
    ...(await checkBackups(paths)),
    ...checkLines(syntax.allows, generation.revocations, nowSeconds(), noticeSeconds),
    ...syntax.allows.flatMap(({ line }) => checkPatterns(line)),
  ].sort((a, b) => a.place.localeCompare(b.place, 'en', { numeric: true }))
  const errors = findings.filter(({ severity }) => severity === 'error').length
  // Nothing is said of a change to files that nobody can use.
  const isComparable = against !== undefined && generation.faults.every(({ code }) => code === 'key-file-permissions')
  const changes = isComparable ? await changesSince(against, await readKeySet(path)) : undefined

  if (json) printJson({ findings, ...(changes !== undefined && { changes }) })
  else {
    for (const finding of findings) print(shown(finding))
    if (changes !== undefined) print(shownChanges(changes))
  }
  const warnings = findings.length - errors
  say(`${count(errors, 'error')}, ${count(warnings, 'warning')} in ${path}`)
  const several = lineOfSeveralQueues(syntax.allows, generation.revocations)
  if (several !== undefined) hint(`${placeText(several.position)}: ${COPIES_HINT}`)
  const letsIn = changes?.some(({ effect }) => effect === 'lets in') ?? false
  if (errors > 0 || (strict && (warnings > 0 || letsIn))) throw new CommandError('')
}

async function changesSince(old: string, now: KeySet): Promise<AccessChange[]> {
  const before = await readKeySet(old)
  return [...compareAccess(before, now, nowSeconds()), ...comparePolicies(before.policies, now.policies)]
}

function shown({ severity, rule, place, text }: Finding): string {
  return `${place}: ${paint(severity === 'error' ? 'red' : 'yellow', severity)}: ${text} (${rule})`
}

function shownChanges(changes: readonly AccessChange[]): string {
  if (changes.length === 0) return 'nobody is let in, nobody is shut out'
  return table(
    ['CHANGE', 'WHO', 'QUEUES', 'FOR EXAMPLE', 'WHEN', 'LINE', 'KEY'],
    changes.map(({ effect, who, queues, example, when, line, key }) => [
      effect,
      who,
      queues,
      example ?? '',
      when,
      line,
      key ?? '',
    ]),
  )
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
