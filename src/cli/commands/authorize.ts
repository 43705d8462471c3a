import { Command, Option } from 'commander'
import { parseLines } from '../../authorized-keys/lines.ts'
import { parseRevokedKeys } from '../../authorized-keys/revoked-keys.ts'
import type { Allow } from '../../authorized-keys/snapshot.ts'
import { ALGORITHMS, type Algorithm } from '../../keys/algorithms.ts'
import type { PublicKey } from '../../keys/public-key.ts'
import { checkService, parseQueues, parseTime } from '../arguments.ts'
import { changeFile } from '../keys/change-file.ts'
import { placeOf } from '../keys/decide.ts'
import { keyPaths, readText } from '../keys/folder.ts'
import { readKeyArgument } from '../keys/key-argument.ts'
import { algorithmOf, keyLine, type LineParts, sameLine } from '../keys/line-text.ts'
import { CommandError, EXIT, hint, print, printJson, say } from '../output.ts'
import { checkRoles } from '../roles.ts'

interface AuthorizeOptions {
  readonly queues?: string
  readonly validAfter?: string
  readonly validBefore?: string
  readonly alg?: Algorithm
  readonly comment?: string
  readonly json?: true
}

export function authorizeCommand(): Command {
  return new Command('authorize')
    .description('add the line of a public key to authorized_keys')
    .usage('<dir> <service> <key file> --queues <patterns> [options]')
    .argument('<dir>', 'a key directory, or an authorized_keys file')
    .argument('<service>', 'the name that the service signs as, such as checkout')
    .argument('<key file>', 'its public key: OpenSSH .pub, PEM, JWK, or the line of keygen')
    .option('--queues <patterns>', 'the queues it may publish to, such as "orders.*,invoices"')
    .option('--valid-after <time>', 'good for messages signed then or later')
    .option('--valid-before <time>', 'good for messages signed before then')
    .addOption(new Option('--alg <name>', 'for an RSA key that signs RS256').choices(ALGORITHMS))
    .option('--comment <text>', 'what to write at the end of the line')
    .option('--json', 'print JSON in place of the line')
    .addHelpText(
      'after',
      `
  queue-key-auth authorize keys checkout checkout.pub --queues "orders.*"

The file is parsed before and after, and replaced in one step, with its mode. A file with an error in it is not touched,
and neither is one that has this line already. A private key is refused.`,
    )
    .action(authorize)
}

async function authorize(path: string, service: string, keyFile: string, options: AuthorizeOptions): Promise<void> {
  await checkRoles('authorize', [
    { role: 'dir', value: path },
    { role: 'service', value: service },
    { role: 'key file', value: keyFile },
  ])
  checkService(service)
  const { patterns } = parseQueues(options.queues, service)
  const paths = await keyPaths(path)
  const key = await readKeyArgument(keyFile)
  const parts = {
    services: [service],
    queues: patterns,
    algorithm: algorithmOf(key, options.alg),
    ...windowOf(options),
  }
  const line = keyLine(key, parts, commentOf(options.comment))
  const revocations = parseRevokedKeys((await readText(paths.revokedKeys)) ?? '', paths.revokedKeys)
  if (revocations.has(key.fingerprint) || revocations.has(`kid:${key.keyId}`)) throw revoked(key, paths.revokedKeys)
  let others: readonly Allow[] = []
  let existing: Allow | undefined
  const changed = await changeFile(
    paths.authorizedKeys,
    (text = '') => {
      const before = parseLines(text, paths.authorizedKeys)
      others = before.filter((allow) => allow.key.keyId === key.keyId)
      existing = others.find((allow) => sameLine(allow.line, parts))
      if (existing !== undefined) return undefined
      const after = `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`
      const added = parseLines(after, paths.authorizedKeys)
      const own = added.at(-1)
      if (added.length !== before.length + 1 || own?.key.keyId !== key.keyId || !sameLine(own.line, parts)) {
        throw new Error('the line that was made does not say what it should')
      }
      return after
    },
    `add this line to its authorized_keys: ${line}`,
  )

  if (existing !== undefined) say(`${placeOf(existing.line)} says so already; nothing was changed`)
  if (changed) say(`added a line to ${paths.authorizedKeys}`)
  say(`fingerprint ${key.fingerprint} (${parts.algorithm}); compare it with the one its owner sees`)
  if (options.json) {
    const { fingerprint, keyId } = key
    printJson({ file: paths.authorizedKeys, changed, ...parts, fingerprint, keyId, authorizedKeysLine: line })
  } else if (changed) print(line)
  const namesakes = others.filter(({ line: { services } }) => !services.includes(service))
  for (const { line: other } of namesakes) {
    hint(`${placeOf(other)} gives the same key to ${other.services.join(', ')}: they can sign as each other`)
  }
}

function windowOf({ validAfter, validBefore }: AuthorizeOptions): Pick<LineParts, 'validAfter' | 'validBefore'> {
  const after = validAfter === undefined ? undefined : parseTime(validAfter, '--valid-after')
  const before = validBefore === undefined ? undefined : parseTime(validBefore, '--valid-before')
  if (after !== undefined && before !== undefined && after >= before) {
    throw new CommandError('--valid-after is not before --valid-before: no message could ever fit', {
      exitCode: EXIT.usage,
    })
  }
  return { validAfter: after, validBefore: before }
}

function commentOf(comment: string | undefined): string | undefined {
  if (comment === undefined || /^[ -~]{0,200}$/.test(comment)) return comment
  throw new CommandError('--comment: write at most 200 characters of printable ASCII', { exitCode: EXIT.usage })
}

function revoked(key: PublicKey, file: string): CommandError {
  return new CommandError(`key ${key.fingerprint} is revoked in ${file}: its line would authorize nothing`, {
    hint: 'revoked means stolen; make a new key with queue-key-auth keygen',
  })
}
