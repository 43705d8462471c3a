import { stat } from 'node:fs/promises'
import { Command } from 'commander'
import { parseRevokedKeys } from '../../authorized-keys/revoked-keys.ts'
import type { Allow } from '../../authorized-keys/snapshot.ts'
import { SetupError } from '../../errors.ts'
import { shellQuoted } from '../../files/modes.ts'
import { quote } from '../../text.ts'
import { isServiceName } from '../../token.ts'
import { changeFile } from '../keys/change-file.ts'
import { placeOf } from '../keys/decide.ts'
import { keyPaths, readKeys, readText } from '../keys/folder.ts'
import { readKeyArgument } from '../keys/key-argument.ts'
import { CommandError, EXIT, hint, print, printJson, say } from '../output.ts'
import { checkRoles } from '../roles.ts'
import { formatTime, nowSeconds } from '../times.ts'

/** A line that a revocation hits. */
interface Hit {
  readonly place: string
  readonly services: readonly string[]
  readonly queues: readonly string[]
}

export function revokeCommand(): Command {
  return new Command('revoke')
    .description('add a stolen key to revoked_keys: nothing it signed is accepted any more')
    .usage('<dir> <key> [--json]')
    .argument('<dir>', 'a key directory, or an authorized_keys file with revoked_keys beside it')
    .argument('<key>', 'a fingerprint SHA256:…, a key id kid:…, or a public key file')
    .option('--json', 'print JSON in place of text')
    .addHelpText(
      'after',
      `
  queue-key-auth revoke keys SHA256:ypT1rkTzUMSKsoeQhFLtSfI3zGbYPbvDL5jKvyWPbo8

What the key signed earlier is refused, too: a thief chooses the time in a token. A key that is merely replaced is
retired with valid-before, which queue-key-auth rotate does. This works while authorized_keys has an error, too.`,
    )
    .action(revoke)
}

async function revoke(path: string, key: string, { json }: { json?: true }): Promise<void> {
  await refuseNames(path, key)
  await checkRoles('revoke', [
    { role: 'dir', value: path },
    { role: 'key', value: key },
  ])
  const paths = await keyPaths(path)
  const revocation = await revocationOf(key)
  const { allows, faults } = await readKeys(paths)
  const hits = hitsOf(revocation, allows)
  let broken = faults[0]
  const owners = [...new Set(hits.flatMap((hit) => hit.services))].join(',')
  const comment = `${owners === '' ? '' : `${owners.slice(0, 200)} `}revoked ${formatTime(nowSeconds()).slice(0, 10)}`
  const changed = await changeFile(
    paths.revokedKeys,
    (text = '') => {
      const present = parseRevokedKeys(text, paths.revokedKeys, (error) => {
        broken ??= error
      })
      if (present.has(revocation)) return undefined
      return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${revocation} ${comment}\n`
    },
    `add the line ${revocation} to its revoked_keys`,
  )

  say(changed ? `added ${revocation} to ${paths.revokedKeys}` : `${revocation} is in ${paths.revokedKeys} already`)
  if (json) printJson({ file: paths.revokedKeys, changed, revocation, hits })
  else for (const { place, services, queues } of hits) print(`${place}  ${services}  ${queues}`)
  if (broken !== undefined) {
    throw new CommandError(`revoked, but consumers cannot start with this: ${broken.message}`, { cause: broken })
  }
  if (hits.length === 0) hint(`no line of ${paths.authorizedKeys} has that key; is it the right one?`)
  else if (!json) hint('these lines are of no use any more; delete them, and give the services new keys')
}

/** Revoking works on keys, and people know services: which keys it has is told. */
async function refuseNames(path: string, text: string): Promise<void> {
  if (/^[\w+/-]{43}$/.test(text) && !(await isThere(text))) {
    throw new CommandError(`${quote(text)} is a fingerprint, or a key id, without its beginning`, {
      hint: `write SHA256:${text} if ssh-keygen -lf printed it, or kid:${text} if it is the kid of a token`,
      exitCode: EXIT.usage,
    })
  }
  const paths = await keyPaths(path).catch(() => undefined)
  if (paths === undefined || !isServiceName(text) || (await isThere(text))) return
  const { allows } = await readKeys(paths)
  const keys = allows.filter(({ line }) => line.services.includes(text)).map(({ key }) => key.fingerprint)
  if (keys.length === 0) return
  throw new CommandError(`${quote(text)} is a service, and what is revoked is a key`, {
    hint: `its keys are ${[...new Set(keys)].join(', ')}: write queue-key-auth revoke ${shellQuoted(path)} <fingerprint>`,
    exitCode: EXIT.usage,
  })
}

async function revocationOf(key: string): Promise<string> {
  if (!/^(SHA256|kid):/.test(key)) return fingerprintOf(key)
  try {
    const [revocation = ''] = parseRevokedKeys(key, '<key>')
    return revocation
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    throw new CommandError(`${key.slice(0, 60)} is neither a fingerprint nor a key id`, {
      hint: 'write SHA256: and the 43 characters that ssh-keygen -lf prints, or kid: and the kid of a token',
      exitCode: EXIT.usage,
      cause: error,
    })
  }
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function fingerprintOf(path: string): Promise<string> {
  try {
    return (await readKeyArgument(path)).fingerprint
  } catch (error) {
    if (!(error instanceof SetupError) || error.code !== 'key-too-weak') throw error
    // A key that is too weak to be allowed can be revoked all the same.
    const [revocation] = parseRevokedKeys((await readText(path)) ?? '', path)
    if (revocation === undefined) throw error
    return revocation
  }
}

function hitsOf(revocation: string, allows: readonly Allow[]): Hit[] {
  return allows
    .filter(({ key }) => revocation === key.fingerprint || revocation === `kid:${key.keyId}`)
    .map(({ line }) => ({ place: placeOf(line), services: line.services, queues: line.queues.patterns }))
}
